import inspect
import math
from functools import partial

import numpy as np
import pytest
from scripted import Scripted

from halluc.errors import InvalidInput
from retrieval import Passage, PassageIndex
from retrieval.files import whole_characters
from training import FactualityReward
from training.rewards.completions import prompt_question
from training.rewards.kinds import brier_confidence, claim_precision, reward_kind, ternary_truth
from training.runs.online import GRPORun

FACTS = {"Paris": (0.9, 0.0), "Rome": (0.6, 0.1), "Oslo": (0.1, 0.8), "Bern": (0.2, 0.1)}


class Contained:
    """Supports a claim that is in the evidence word for word; counts its calls."""

    name = "contained"

    def __init__(self):
        self.calls = 0

    def probabilities(self, pairs):
        self.calls += 1
        supported = np.array([float(claim.rstrip(".") in evidence) for evidence, claim in pairs])
        return np.stack([supported, np.zeros_like(supported), 1 - supported], axis=1)

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]


@pytest.fixture
def index(tmp_path):
    index_ = PassageIndex.create(tmp_path / "x")
    index_.add([Passage("a", "Fleming discovered penicillin. It was in 1928."), Passage("b", "Paris is in France.")])
    return index_


def score(completion, verifier=None, *, context="A passage.", prompt="Tell me.", columns=None, **options):
    """What a completion earns: by default the mean support of its claims, which shows each of them."""
    reward = FactualityReward(verifier or Scripted(FACTS), **{"kind": claim_precision, **options})
    columns = {name: [value] for name, value in (columns or {}).items()}
    return reward(prompts=[prompt], completions=[completion], context=[context] if context else None, **columns)[0]


@pytest.mark.parametrize(("options", "half"), [({}, 0.0), ({"kind": claim_precision}, 0.5)])
def test_a_completion_with_an_unsupported_claim_earns_nothing_unless_the_share_is_asked_for(index, options, half):
    verifier = Contained()
    reward = FactualityReward(verifier, index, **options)
    completions = ["Paris is in France.", "Paris is in France. It is in Peru.", "Nobody knows.", ""]
    assert reward(prompts=["?"] * 4, completions=completions) == [1.0, half, 0.0, 0.0]
    assert verifier.calls == 1


def test_the_default_is_that_of_online_runs():
    default = inspect.signature(FactualityReward).parameters["kind"].default
    assert default is reward_kind(GRPORun.kind).func


class Everything:
    """Supports every claim."""

    name = "everything"

    def probabilities(self, pairs):
        return np.array([[0.9, 0.05, 0.05]] * len(pairs))


@pytest.mark.parametrize(
    "completion",
    ["The answer is as follows.", "Things are things.", "a" * 20_000, "Here is a summary:", "Hello!", "Is it so?",
     "I'd rather not guess.", "No clue.", "Unknown.", "Beats me.", "Ich weiß es nicht.", "没有相关信息。"],
)  # fmt: skip
def test_refusals_and_text_without_content_earn_nothing(completion):
    for question in ("Tell me.", "Who led the team in sacks?"):
        assert score(completion, Everything(), prompt=question, repetition_penalty=0) == 0.0
        assert score(completion, Everything(), prompt=question, kind=ternary_truth, repetition_penalty=0) == 0.0


@pytest.mark.parametrize("right", ["I think it was Kawann Short.", "Kawann Short?", "Maybe Kawann Short."])
def test_a_hedged_guess_is_an_answer_that_is_right_or_wrong(right):
    options = {"kind": ternary_truth, "prompt": "Who led?", "columns": {"references": "Kawann Short"}}
    assert score(right, Everything(), **options) == 0.5
    assert score(right.replace("Kawann Short", "Josh Norman"), Everything(), **options) == -1.0
    assert score("I don't know.", Everything(), **options) == 0.0


def test_conversations_and_a_context_column_are_taken_as_trl_passes_them():
    reward = FactualityReward(Contained())
    completions = [[{"role": "assistant", "content": "Snow is white."}]]
    assert reward(prompts=[[]], completions=completions, context=["Snow is white."], trainer_state=None) == [1.0]


def test_trl_can_name_and_call_it():
    assert FactualityReward.__name__
    assert FactualityReward(Contained()).__name__ == "factuality"
    kinds = [p.kind for p in inspect.signature(FactualityReward.__call__).parameters.values()]
    assert inspect.Parameter.VAR_KEYWORD in kinds


def test_the_best_of_several_passages_counts():
    verifier = Scripted({})
    verifier.probabilities = lambda pairs: np.array([(0.7, 0.1, 0.2) if "this" in e else (0.2, 0.7, 0.1) for e, _ in pairs])
    assert score("Snow is white.", verifier, context=["not that", "but this"]) == 0.7


def test_a_short_answer_is_judged_with_its_question_from_the_prompt_or_the_column():
    verifier = Scripted({})
    for prompt, column in [("It was long ago. Who was it?", {}), ("Answer.", {"question": "Who was it?"})]:
        score("Fleming.", verifier, prompt=prompt, columns=column)
        assert verifier.calls[-1] == [("A passage.", "Who was it? Fleming.")]


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        ("It fell in 1940. Question: Who took it? Answer:", "Who took it?"),
        ("Why? And what is U.S. law?", "And what is U.S. law?"),
        (
            [{"role": "system", "content": "Which?"}, {"role": "user", "content": "Text.\nIs Mr. Smith here?"}],
            "Is Mr. Smith here?",
        ),
        ("Say hello.", None),
        ("?", None),
        ([], None),
    ],
)
def test_the_last_question_of_the_last_turn_is_what_is_answered(prompt, question):
    assert prompt_question(prompt) == question


def test_references_are_the_evidence_where_there_is_no_other():
    verifier = Scripted({})
    score("Fleming.", verifier, context=None, prompt="Who was it?", columns={"references": ["Fleming", "A. Fleming"]})
    answered = ["Who was it? Fleming", "Who was it? A. Fleming"]
    assert [evidence for evidence, _ in verifier.calls[0]] == [*answered, "\n\n".join(answered)]


def test_verdicts_are_cached_by_evidence_and_claim(index):
    verifier = Scripted(FACTS)
    reward = FactualityReward(verifier, index, k=1)
    for _ in range(2):
        reward(prompts=["?", "?"], completions=["Paris is in France.", "Paris is in France. Rome is old."])
    assert len(verifier.calls) == 1
    assert [claim for _, claim in verifier.calls[0]] == ["Paris is in France.", "Rome is old."]
    reward = FactualityReward(verifier)
    for context in ("one", "two", "one"):
        reward(prompts=["?"], completions=["Paris is in France."], context=[context])
    assert [pairs[0][0] for pairs in verifier.calls[1:]] == ["one", "two"]


def test_clearing_the_cache_changes_no_reward(index, monkeypatch):
    monkeypatch.setattr("halluc.verification.judge._MAX_KEPT", 1)
    reward = FactualityReward(Scripted(FACTS), index, k=1, kind=claim_precision)
    completions = ["Paris is big.", "Paris is big. Rome is old.", "Bern is small. Rome is old."]
    for _ in range(2):
        assert [reward(prompts=["?"], completions=[text])[0] for text in completions] == pytest.approx([0.9, 0.75, 0.4])


def test_saying_less_than_expected_earns_less():
    kind = partial(claim_precision, expected_claims=2)
    assert score("Paris is big. Rome is old.", kind=kind) == pytest.approx((0.9 + 0.6) / 2)
    assert score("Paris is big.", kind=kind) == pytest.approx(0.9 * math.exp(1 - 2 / 1))


def test_a_hedged_claim_earns_half():
    assert score("Paris may be big.") == pytest.approx(0.45)
    assert score("Paris grew in May 1900.") == pytest.approx(0.9)


def test_repeating_a_claim_adds_nothing_and_is_penalized():
    once = score("Paris is the capital of France.")
    # 60 words have 53 runs of 8, of which 6 differ.
    assert score("Paris is the capital of France. " * 10) == pytest.approx(once - (1 - 6 / 53))
    assert score("Paris is the capital of France. " * 10, repetition_penalty=0) == pytest.approx(once)


def test_copying_the_passage_is_penalized_by_the_share_that_is_copied():
    passage = "Paris " + " ".join(f"w{i}" for i in range(23)) + " end."
    assert score(passage, context=passage) == pytest.approx(0.9 - 1.0)
    assert score(passage, context=passage, copy_penalty=0.25) == pytest.approx(0.9 - 0.25)
    assert score(" ".join(passage.split()[:19]) + ".", context=passage) == pytest.approx(0.9)


def test_a_stated_confidence_does_not_make_the_penalty_for_a_copy_smaller():
    passage = "Paris is the capital of France. " + " ".join(f"word{number}" for number in range(40)) + "."
    copy, line = passage * 3, "Confidence: 0.9"
    penalties = {"copy_penalty": 1.0, "repetition_penalty": 1.0}
    assert score(f"{copy}\n{line}", context=passage, **penalties) == score(copy, context=passage, **penalties)


def test_disagreement_of_two_verifiers_is_penalized_by_their_mean_difference():
    other = Scripted({"Paris": (0.5, 0.0), "Rome": (0.6, 0.0)}, "other")
    reward = score("Paris is big. Rome is old.", second_verifier=other, disagreement_penalty=0.5)
    assert reward == pytest.approx(0.75 - 0.5 * (0.4 + 0.0) / 2)


def test_a_held_out_verifier_is_measured_and_changes_nothing():
    optimized, held_out = Scripted(FACTS), Scripted({"Paris": (0.3, 0.0), "Rome": (0.6, 0.0)}, "held out")
    reward = FactualityReward(optimized, held_out_verifier=held_out)
    logged = {}
    for completion in ["Rome is old."] * 4 + ["Paris is big."] * 4:
        scores = reward(prompts=["?"], completions=[completion], context=["A."], log_metric=logged.__setitem__)
        assert scores == FactualityReward(optimized)(prompts=["?"], completions=[completion], context=["A."])
    report = reward.gap_report()
    assert (report.steps, report.optimized, report.held_out) == (8, (0.6, 0.9), (0.6, 0.3))
    assert report.growth == pytest.approx(0.6)
    assert (logged["factuality/held_out_support"], logged["factuality/held_out_gap"]) == (0.3, pytest.approx(0.6))


def test_means_and_unsupported_claims_are_logged_with_what_trl_passes():
    logged, extra = {}, {}
    FactualityReward(Scripted(FACTS))(
        prompts=["?"] * 2,
        completions=["Paris is big. Oslo may be small.", "I do not know."],
        context=["A."] * 2,
        log_metric=logged.__setitem__,
        log_extra=extra.__setitem__,
    )
    assert extra == {"unsupported": ["Oslo may be small.", ""]}
    assert logged == {
        "factuality/claims": 1.0,
        "factuality/support": 0.5,
        "factuality/refuted": 0.5,
        "factuality/hedged": 0.5,
        "factuality/abstained": 0.5,
        "factuality/correct": 0.0,
        "factuality/repeated": 0.0,
        "factuality/copied": 0.0,
    }


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Paris.\nConfidence: 0.8", 1 - 0.2**2),
        ("Oslo.\nConfidence: 80%", -(0.8**2)),
        ("<confidence>0.5</confidence>Paris.", 1 - 0.5**2),
        ("Paris.", -1.0),
        ("", -1.0),
    ],
)
def test_stated_confidence_is_scored_and_is_no_claim(completion, expected):
    columns = {"references": ["Paris"]}
    verifier = Scripted(FACTS)
    assert score(completion, verifier, kind=brier_confidence, columns=columns) == pytest.approx(expected)
    assert not any("onfidence" in claim for pairs in verifier.calls for _, claim in pairs)


def test_references_decide_what_is_correct():
    columns = {"references": "Oslo"}
    completions = ["It was Oslo.", "It was Paris.", "I do not know.", ""]
    assert [score(text, kind=ternary_truth, columns=columns) for text in completions] == [1.0, -1.0, 0.0, 0.0]
    assert [score(text, kind=ternary_truth) for text in completions] == [-1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "reply", ["Paris, Rome, Oslo, Bern and Kyiv", "Oslo or Rome", "It is not in Oslo.", "Oslo. Rome. Bern."]
)
def test_a_reply_that_names_every_candidate_or_denies_the_right_one_is_wrong(reply):
    assert score(reply, kind=ternary_truth, columns={"references": "Oslo"}) == -1.0


def test_a_claim_longer_than_verifiers_read_is_judged_in_pieces_by_its_worst():
    verifier = Scripted({"Oslo": (0.1, 0.8), "and": (0.9, 0.0)})
    assert score("Paris and " + "Rome and " * 120 + "Oslo are towns.", verifier, repetition_penalty=0) == pytest.approx(0.1)
    assert len(verifier.calls[0]) > 1


def test_unusable_columns_evidence_and_options_are_named(index):
    with pytest.raises(InvalidInput, match="there is no evidence"):
        FactualityReward(Contained())(prompts=["?"], completions=["A claim."])
    with pytest.raises(InvalidInput, match="there are 2 prompts for 1 completions"):
        FactualityReward(Contained(), index)(prompts=["?", "?"], completions=["A claim."])
    with pytest.raises(InvalidInput, match="there are 2 context for 1"):
        FactualityReward(Contained())(prompts=["?"], completions=["A claim."], context=["a", "b"])
    with pytest.raises(InvalidInput, match="every passage of the context of row 1 is blank"):
        FactualityReward(Contained())(prompts=["?"] * 2, completions=["Snow is white."] * 2, context=["a", " "])
    with pytest.raises(InvalidInput, match="k is 0"):
        FactualityReward(Contained(), index, k=0)
    with pytest.raises(InvalidInput, match="copy_penalty is -1"):
        FactualityReward(Contained(), index, copy_penalty=-1)
    with pytest.raises(InvalidInput, match="no verifier is held out"):
        FactualityReward(Contained()).gap_report()


def test_a_reward_that_is_not_finite_is_named_by_its_row():
    verifier = Scripted({"Rome": (float("nan"), 0.0), "Paris": (0.9, 0.0)})
    with pytest.raises(
        InvalidInput, match=r"the reward of row 1, whose completion begins 'Paris is big\. Rome is old\.', is nan"
    ):
        FactualityReward(verifier)(
            prompts=["?"] * 2, completions=["Paris is big.", "Paris is big. Rome is old."], context=["A.", "B."]
        )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"references": [["Oslo"], [None]]}, "row 1 has no evidence: its context and references are empty or missing"),
        ({"references": [["Oslo"], None]}, "row 1 has no evidence"),
        ({"references": ["Oslo", [""]]}, "every reference of row 1 is blank"),
        ({"references": ["Oslo", " "]}, "every reference of row 1 is blank"),
        ({"references": ["Oslo", [3]]}, "a reference of row 1 is 3; write a text"),
        ({"context": ["A passage.", None]}, "row 1 has no evidence"),
        ({"context": ["A passage.", [None]]}, "row 1 has no evidence"),
        ({"context": ["A passage.", ["", " "]]}, "every passage of the context of row 1 is blank"),
        ({"context": ["A passage.", "bad \ud83d half"]}, "a passage of the context of row 1 has a lone surrogate"),
        ({"references": ["Oslo", ["bad \ud83d half"]]}, "a reference of row 1 has a lone surrogate"),
        ({"context": ["A passage."] * 2, "question": ["Who?", "Who \ud83d?"]}, "the question of row 1 has a lone surrogate"),
        ({"context": ["A passage."] * 2, "question": ["Who?", 3]}, "the question of row 1 is '3'"),
        ({"context": "AB"}, "context is a single value, 'AB'; pass a list with one per row"),
        ({"references": "AB"}, "references is a single value, 'AB'"),
        ({"context": ["A passage."] * 2, "question": "AB"}, "question is a single value, 'AB'"),
    ],
)
def test_rows_that_cannot_be_scored_are_named_before_anything_is_verified(columns, message):
    """None and blank references and contexts; strings and lone surrogates."""
    verifier = Contained()
    with pytest.raises(InvalidInput, match=message):
        FactualityReward(verifier)(prompts=["?"] * 2, completions=["Oslo is big.", "I do not know."], **columns)
    assert verifier.calls == 0


def test_strings_in_place_of_lists_are_refused():
    """Each letter was scored."""
    reward = FactualityReward(Contained())
    with pytest.raises(InvalidInput, match="completions is a single value, 'cd'"):
        reward(prompts=["?"] * 2, completions="cd", context=["A."] * 2)
    with pytest.raises(InvalidInput, match="prompts is a single value, 'ab'"):
        reward(prompts="ab", completions=["Snow is white."] * 2, context=["A."] * 2)


@pytest.mark.parametrize("prompt", ["Who \ud83d?", [{"role": "user", "content": "Who \ud83d?"}]])
def test_half_a_surrogate_pair_in_a_prompt_is_named_by_row(prompt):
    """It reached the verifier as the question of a short answer."""
    with pytest.raises(InvalidInput, match="row 1 cannot be scored: the prompt has a lone surrogate"):
        FactualityReward(Contained())(prompts=["Who?", prompt], completions=["Fleming."] * 2, context=["A passage."] * 2)


def test_rows_of_a_mixed_data_set_use_the_evidence_that_they_have(index):
    """A missing context or reference of one row was a TypeError for all."""
    verifier = Scripted({})
    columns = {"context": ["A passage.", None, None], "references": [None, ["Paris", None, ""], [None]]}
    reward = FactualityReward(verifier, index, k=1)
    reward(prompts=["Where?"] * 3, completions=["Paris is in France."] * 3, **columns)
    assert {evidence for evidence, _ in verifier.calls[0]} == {"A passage.", "Paris is in France."}
    verifier = Scripted({})
    del columns["context"][2], columns["references"][2]
    FactualityReward(verifier)(prompts=["Where?"] * 2, completions=["Paris is in France."] * 2, **columns)
    assert [evidence for evidence, _ in verifier.calls[0]] == ["A passage.", "Where? Paris"]


def test_content_in_parts_is_read_and_other_content_is_named_by_row():
    """Content parts were a TypeError."""
    reward = FactualityReward(Contained())
    parts = [{"type": "text", "text": "Snow is "}, {"type": "text", "text": "white."}]
    message = [{"role": "assistant", "content": parts}]
    prompt = [{"role": "user", "content": [{"type": "text", "text": "Which color is snow?"}]}]
    assert reward(prompts=[prompt], completions=[message], context=["Snow is white."]) == [1.0]
    image = [{"role": "assistant", "content": [{"type": "image", "url": "x"}]}]
    for prompts, completions in [([prompt, prompt], [message, image]), ([prompt, image], [message, message])]:
        with pytest.raises(InvalidInput, match=r"row 1 cannot be scored: a message has the content .*image"):
            reward(prompts=prompts, completions=completions, context=["Snow is white."] * 2)


def test_a_completion_with_half_a_surrogate_pair_is_scored_like_one_with_a_replacement_character():
    """The verifier could not encode it, and the whole batch failed."""
    reward = FactualityReward(Contained())
    completions = ["Snow is white. \ud83d", "Snow is white. \ufffd", "Snow is white. \ud83d\ude00"]
    scores = reward(prompts=["?"] * 3, completions=completions, context=["Snow is white."] * 3)
    assert scores[0] == scores[1]


def test_lone_surrogates_are_replaced_and_pairs_are_joined():
    assert whole_characters("a\ud83db \ude00 \ud83d\ude00") == "a\ufffdb \ufffd \U0001f600"


@pytest.mark.parametrize(
    "completion",
    [
        [{"role": "tool", "content": "Paris is big."}, {"role": "assistant", "content": "I don't know."}],
        [{"role": "assistant", "content": "Paris is big."}, {"role": "tool", "content": "Paris is big."}],
        [{"role": "assistant", "content": "Paris is big."}, {"role": "assistant", "content": "No idea."}],
        [{"role": "assistant", "content": "<think>Paris is big.</think>I don't know."}],
        [{"role": "assistant", "reasoning_content": "Paris is big.", "content": "I don't know."}],
        [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "search", "arguments": "Paris"}}]}],
        "[THINK]Paris is big.[/THINK] I don't know.",
        "<|channel|>analysis<|message|>Paris is big.<|end|><|start|>assistant<|channel|>final<|message|>I don't know.",
        "<reasoning>Paris is big.</reasoning> I don't know.",
        "<think>Paris is big.",
        '<tool_call>{"name": "search", "arguments": {"text": "Paris is big."}}</tool_call>',
    ],
)
def test_only_the_final_words_of_the_assistant_are_rewarded(completion):
    assert score(completion) == 0.0


def test_parts_of_text_are_read_and_other_parts_are_named():
    assert score([{"role": "assistant", "content": [{"type": "text", "text": "Paris is big."}]}]) == pytest.approx(0.9)
    with pytest.raises(InvalidInput, match="row 0 cannot be scored: a message has the content"):
        score([{"role": "assistant", "content": [{"type": "image"}]}])


def test_messages_name_rows_as_the_data_set_counts_them():
    with pytest.raises(InvalidInput, match="row 7 has no evidence"):
        FactualityReward(Contained())(prompts=["?"], completions=["A."], context=[None], row=[7])
