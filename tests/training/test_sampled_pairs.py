import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from datasets import load_from_disk
from scripted import Scripted

from halluc.errors import InvalidInput
from halluc.models.language_model import Generation
from retrieval import Passage, PassageIndex
from training import CompositeReward, FactualityReward, build_preference_pairs, pairs_from_answers
from training.rewards.kinds import claim_precision


class Saying:
    """A model that says the scripted completions of a prompt; can be interrupted at a prompt."""

    name = "saying"

    def __init__(self, script, interrupted_at=None):
        self.script = script
        self.interrupted_at = interrupted_at
        self.calls = []

    def generate(self, prompts, *, n, **options):
        self.calls.append((list(prompts), n, options))
        if self.interrupted_at in prompts:
            raise KeyboardInterrupt
        return [[Generation(text) for text in self.script[prompt][:n]] for prompt in prompts]


def truth(*, prompts, completions, **_):
    """The number at the end of a completion."""
    assert len(prompts) == len(completions)
    return [float(text.split()[-1]) if text else 0.0 for text in completions]


SCRIPT = {"a": ["it is 0.2", "so is 0.9", "", "It is, 0.2", "well 0.5"], "b": ["x is 0.5", "y is 0.5"], "c": ["p 0", "q 1"]}


def row(dataset, number):
    pair = dataset[number]
    sides = [pair[side][0]["content"] for side in ("prompt", "chosen", "rejected")]
    return (*sides, pair["chosen_factuality"], pair["rejected_factuality"])


def test_the_best_completion_is_paired_with_the_worst_and_a_prompt_without_a_margin_gives_none():
    lm = Saying(SCRIPT)
    pairs = build_preference_pairs(lm, ["a", "b", "c"], truth, n_samples=5, batch_size=2, seed=7, max_new_tokens=9)
    assert [row(pairs, i) for i in range(len(pairs))] == [
        ("a", "so is 0.9", "it is 0.2", 0.9, 0.2),
        ("c", "q 1", "p 0", 1.0, 0.0),
    ]
    assert pairs[0]["chosen"] == [{"role": "assistant", "content": "so is 0.9"}]
    assert [(prompts, n, o["seed"], o["max_new_tokens"]) for prompts, n, o in lm.calls] == [
        (["a", "b"], 5, 7, 9),
        (["c"], 5, 8, 9),
    ]


def test_lengths_must_be_similar_even_if_the_margin_is_smaller():
    script = {"a": ["one two three four five six 0.9", "seven 0.5", "eight 0.1"]}
    assert row(build_preference_pairs(Saying(script), ["a"], truth), 0)[1:3] == ("seven 0.5", "eight 0.1")
    wide = build_preference_pairs(Saying(script), ["a"], truth, max_length_ratio=4)
    assert row(wide, 0)[1:3] == ("one two three four five six 0.9", "eight 0.1")


def test_columns_reach_the_reward_with_their_completions():
    seen = {}

    def reward(*, prompts, completions, context):
        seen.update(zip(completions, context, strict=True))
        return truth(prompts=prompts, completions=completions)

    build_preference_pairs(Saying(SCRIPT), ["b", "c"], reward, min_margin=0.5, columns={"context": ["of b", "of c"]})
    assert seen == {"x is 0.5": "of b", "y is 0.5": "of b", "p 0": "of c", "q 1": "of c"}


def test_an_interrupted_build_resumes_at_its_first_missing_batch(tmp_path):
    out = tmp_path / "pairs"
    broken = Saying(SCRIPT, interrupted_at="c")
    with pytest.raises(KeyboardInterrupt):
        build_preference_pairs(broken, ["a", "b", "c"], truth, batch_size=1, out=out)
    assert not out.exists()
    again = Saying(SCRIPT)
    pairs = build_preference_pairs(again, ["a", "b", "c"], truth, batch_size=1, out=out)
    assert [prompts for prompts, _, _ in again.calls] == [["c"]]
    whole = build_preference_pairs(Saying(SCRIPT), ["a", "b", "c"], truth, batch_size=1)
    assert pairs.to_list() == whole.to_list() == load_from_disk(str(out)).to_list()
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"]
    manifest = json.loads((out / "manifest.json").read_text())
    counts = {key: manifest[key] for key in ("pairs", "prompts_without_pair", "reward", "n_samples", "mean_words_chosen")}
    assert counts == {"pairs": 2, "prompts_without_pair": 1, "reward": "truth", "n_samples": 8, "mean_words_chosen": 2.5}
    done = Saying({})
    assert build_preference_pairs_of(done, out).to_list() == pairs.to_list()
    assert not done.calls


def build_preference_pairs_of(lm, out):
    return build_preference_pairs(lm, ["a", "b", "c"], truth, batch_size=1, out=out)


def test_a_folder_of_other_pairs_is_refused(tmp_path):
    build_preference_pairs(Saying(SCRIPT), ["c"], truth, out=tmp_path / "pairs")
    with pytest.raises(InvalidInput, match="pairs holds pairs made from other data or with other settings"):
        build_preference_pairs(Saying(SCRIPT), ["c"], truth, min_margin=0.2, out=tmp_path / "pairs")


def test_unusable_options_scores_and_columns_are_named():
    for options, message in [
        ({"n_samples": 1}, "n_samples is 1"),
        ({"min_margin": 0.0}, "min_margin is 0.0"),
        ({"columns": {"context": ["x"]}}, "there are 1 context for 2 prompts"),
        ({"min_margin": 2.0}, "no prompt gave a pair"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            build_preference_pairs(Saying(SCRIPT), ["a", "c"], truth, **options)
    with pytest.raises(InvalidInput, match="the reward of row 0, whose completion begins 'p 0', is nan"):
        build_preference_pairs(Saying(SCRIPT), ["c"], lambda **_: [float("nan"), 1.0])


def test_rows_with_a_right_and_a_wrong_answer_become_pairs():
    pairs = pairs_from_answers(["who?", "when?"], ["Fleming", "1928"], ["nobody", "1800"])
    assert [row(pairs, i) for i in range(2)] == [
        ("who?", "Fleming", "nobody", 1.0, 0.0),
        ("when?", "1928", "1800", 1.0, 0.0),
    ]


def test_answers_that_score_the_other_way_round_are_left_out_and_counted(tmp_path):
    pairs = pairs_from_answers(["a", "b"], ["x 0.8", "x 0.1"], ["y 0.3", "y 0.4"], reward=truth, out=tmp_path / "p")
    assert [row(pairs, i) for i in range(len(pairs))] == [("a", "x 0.8", "y 0.3", 0.8, 0.3)]
    assert json.loads((tmp_path / "p" / "manifest.json").read_text())["rows_scored_otherwise"] == 1


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (["a", ""], ["b", "c"], "the right answer of row 1 is ''"),
        (["a", "c "], ["b", " c"], "the right and the wrong answer of row 1 are both 'c '"),
        (["a"], ["b", "c"], "there are 1 right for 2 questions"),
    ],
)
def test_unusable_answers_are_named_by_row(right, wrong, message):
    with pytest.raises(InvalidInput, match=message):
        pairs_from_answers(["?", "?"], right, wrong)


def test_the_default_model_samples_pairs_that_trl_can_read(lm):
    def shortest(*, completions, **_):
        return [-float(len(text)) for text in completions]

    pairs = build_preference_pairs(lm, ["Name a colour."], shortest, n_samples=4, max_length_ratio=50, min_chosen=None)
    pair = pairs[0]
    assert [message["role"] for side in ("prompt", "chosen", "rejected") for message in pair[side]] == ["user"] + [
        "assistant"
    ] * 2
    assert len(pair["chosen"][0]["content"]) < len(pair["rejected"][0]["content"])


def ternary(*, prompts, completions, **_):
    """1 where a completion ends in "right", 0 where it abstains, −1 otherwise."""
    return [1.0 if text.endswith("right") else 0.0 if "know" in text else -1.0 for text in completions]


def test_an_abstention_is_chosen_if_answers_are_mostly_wrong_and_rejected_if_they_are_mostly_right():
    script = {
        "unknown": ["it is wrong", "so is wrong", "so is wrong", "it is right", "I don't know"],
        "known": ["I do not know.", "it is right", "well right", "well right", "so is wrong"],
        "sure": ["it is right"] * 5,
        "silent": ["I don't know."] * 5,
    }
    silence = "I don't know the answer to that, sorry."
    pairs = build_preference_pairs(Saying(script), list(script), ternary, n_samples=5, abstention=silence)
    assert [row(pairs, i) for i in range(len(pairs))] == [
        ("unknown", silence, "so is wrong", 0.0, -1.0),
        ("known", "well right", "so is wrong", 1.0, -1.0),
        ("known", "well right", silence, 1.0, 0.0),
        ("sure", "it is right", silence, 1.0, 0.0),
    ]


def test_an_abstention_that_reads_as_an_answer_is_refused():
    with pytest.raises(InvalidInput, match=r"'Paris\.' does not read as one; say something like"):
        build_preference_pairs(Saying(SCRIPT), ["a"], truth, abstention="Paris.")


def test_two_processes_on_one_folder_give_one_clear_error_and_complete_pairs(tmp_path):
    """Both wrote the same files; the second failed with a raw error, and what was left could not be loaded."""
    out = tmp_path / "pairs"
    second = []

    class Meanwhile(Saying):
        def generate(self, prompts, **options):
            with pytest.raises(InvalidInput) as caught:
                build_preference_pairs_of(Saying(SCRIPT), out)
            second.append(str(caught.value))
            return super().generate(prompts, **options)

    pairs = build_preference_pairs_of(Meanwhile(SCRIPT), out)
    assert second == [f"another process is building {out}; wait for it, or name another folder"] * 3
    assert load_from_disk(str(out)).to_list() == pairs.to_list()
    assert [path.name for path in tmp_path.iterdir()] == ["pairs"]


def test_processes_started_together_build_one_folder_between_them(tmp_path):
    """Real processes; some are refused in one sentence, and nobody sees half of a folder."""
    script = (
        "import sys, time\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from halluc.errors import InvalidInput\n"
        "from test_sampled_pairs import SCRIPT, Saying, build_preference_pairs_of\n"
        "class Slow(Saying):\n"
        "    def generate(self, *args, **options):\n"
        "        time.sleep(0.5)\n"
        "        return super().generate(*args, **options)\n"
        "try:\n"
        "    print(len(build_preference_pairs_of(Slow(SCRIPT), sys.argv[1])))\n"
        "except InvalidInput as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "pairs"), str(Path(__file__).parent)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    answers = [output.strip() for output, _ in outputs]
    assert "2" in answers
    assert all(answer == "2" or "another process is building" in answer for answer in answers)
    assert len(load_from_disk(str(tmp_path / "pairs"))) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        # Each letter was a prompt.
        (("Hi?", truth), "prompts is a single value, 'Hi\\?'; pass a list with one per row"),
        (([], truth), "there are no prompts"),
        ((["a", None], truth), "the prompt of row 1 is missing"),
        ((["a", 3], truth), "the prompt of row 1 is '3'"),
        ((["a", "b \ud83d"], truth), "the prompt of row 1 has a lone surrogate"),
    ],
)
def test_prompts_that_cannot_be_used_are_named(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        build_preference_pairs(Saying(SCRIPT), *arguments)


def test_columns_and_answers_that_are_one_string_are_refused():
    with pytest.raises(InvalidInput, match="context is a single value, 'xy'"):
        build_preference_pairs(Saying(SCRIPT), ["a", "c"], truth, columns={"context": "xy"})
    for right, wrong in [("ab", ["c", "d"]), (["a", "b"], "cd")]:
        with pytest.raises(InvalidInput, match=r"is a single value, '(ab|cd)'"):
            pairs_from_answers(["?", "?"], right, wrong)
    with pytest.raises(InvalidInput, match="the wrong answer of row 1 is missing"):
        pairs_from_answers(["?", "?"], ["a", "b"], ["c", None])


def test_half_a_surrogate_pair_in_a_sample_is_replaced(tmp_path):
    """The pairs could not be written."""
    script = {"a": ["good \ud83d 0.9", "bad 0.1"]}
    pairs = build_preference_pairs(Saying(script), ["a"], truth, max_length_ratio=3, out=tmp_path / "pairs")
    assert pairs[0]["chosen"][0]["content"] == "good \ufffd 0.9"


@pytest.mark.parametrize("name", ["file", "file/pairs", "other"])
def test_a_folder_that_cannot_hold_pairs_is_refused_before_anything_is_sampled(tmp_path, name):
    (tmp_path / "file").write_text("a book")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "book.txt").write_text("chapter one")
    lm = Saying(SCRIPT)
    with pytest.raises(InvalidInput, match=r"is a file|holds something other than preference pairs"):
        build_preference_pairs_of(lm, tmp_path / name)
    assert lm.calls == []
    assert (tmp_path / "file").read_text() == "a book"


def test_an_empty_folder_is_accepted(tmp_path):
    (tmp_path / "pairs").mkdir()
    assert len(build_preference_pairs_of(Saying(SCRIPT), tmp_path / "pairs")) == 2


class Weighted:
    """A model whose weights can differ under one name."""

    name = "weighted"

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(2, 2)

    def generate(self, prompts, *, n, **_):
        return [[Generation(text) for text in SCRIPT["c"]] for _ in prompts]


def test_pairs_of_other_weights_another_verifier_kind_or_index_are_not_taken_for_the_same(tmp_path):
    """They were found by names alone, and the old pairs were returned."""
    scores = {"p 0": (0.1, 0.0), "q 1": (0.9, 0.0)}
    index = PassageIndex.create(tmp_path / "x")
    index.add([Passage("a", "Fleming discovered penicillin.")])

    def build(lm, reward):
        return build_preference_pairs(lm, ["c"], reward, n_samples=2, out=tmp_path / "pairs")

    first = build(Weighted(0), FactualityReward(Scripted(scores), index))
    assert build(Weighted(0), FactualityReward(Scripted(scores), index)).to_list() == first.to_list()
    kind = partial(claim_precision, expected_claims=2)
    others = [
        (Weighted(1), FactualityReward(Scripted(scores), index)),
        (Weighted(0), FactualityReward(Scripted(scores, "another"), index)),
        (Weighted(0), FactualityReward(Scripted(scores), index, kind=kind)),
        (Weighted(0), FactualityReward(Scripted(scores), index, copy_penalty=0.5)),
        (Weighted(0), CompositeReward(factuality=FactualityReward(Scripted(scores), index), factuality_weight=2.0)),
    ]
    for lm, reward in others:
        with pytest.raises(InvalidInput, match="made from other data or with other settings"):
            build(lm, reward)
    index.add([Passage("b", "It was in 1928.")])
    with pytest.raises(InvalidInput, match="made from other data or with other settings"):
        build(Weighted(0), FactualityReward(Scripted(scores), index))


def test_no_wrong_answer_is_chosen_because_the_others_are_worse():
    script = {"a": ["it is 0.1", "so is 0.4"], "b": ["x is 0.1", "y is 0.6"]}
    pairs = build_preference_pairs(Saying(script), ["a", "b"], truth)
    assert [(pair["row"], row(pairs, i)[1]) for i, pair in enumerate(pairs)] == [(1, "y is 0.6")]
    assert len(build_preference_pairs(Saying(script), ["a", "b"], truth, min_chosen=None)) == 2
    # An abstention is chosen over wrong answers at whatever it earns.
    silent = build_preference_pairs(Saying(script), ["a"], lambda *, completions, **_: [
        0.0 if "know" in text else -float(text.split()[-1]) for text in completions
    ], abstention="I don't know.")  # fmt: skip
    assert row(silent, 0)[1:3] == ("I don't know.", "so is 0.4")
    with pytest.raises(InvalidInput, match="min_chosen is nan"):
        build_preference_pairs(Saying(script), ["a"], truth, min_chosen=float("nan"))


def test_completions_cut_by_the_token_limit_are_in_no_pair(tmp_path):
    """They were trained on as if they ended there."""

    class Cut(Saying):
        def generate(self, prompts, **options):
            return [
                [replace(sample, finish_reason="length") if "cut" in sample.text else sample for sample in samples]
                for samples in super().generate(prompts, **options)
            ]

    lm = Cut({"a": ["cut 0.9", "whole 0.8", "whole 0.1", "cut 0.0"]})
    pairs = build_preference_pairs(lm, ["a"], truth, out=tmp_path / "pairs")
    assert row(pairs, 0)[1:3] == ("whole 0.8", "whole 0.1")
    assert json.loads((tmp_path / "pairs" / "manifest.json").read_text())["cut_samples"] == 2
