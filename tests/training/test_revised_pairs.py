import json

import pytest
from datasets import load_from_disk

from halluc.cove.chain import ChainOfVerification
from halluc.errors import InvalidInput
from halluc.models.language_model import Generation
from training.preferences.constitution import Principle, load_principles
from training.preferences.revised import pairs_from_constitution, pairs_from_verification
from training.trainers.dpo import FactualityDPOTrainer

PRINCIPLES = [Principle("doubt", "What may be false?", "Fix it.")]


class Talking:
    """Replies by the last turn, or by a phrase in it; can break off at one."""

    name = "talking"
    context_window = None

    def __init__(self, script, breaks_at=None):
        self.script = script
        self.breaks_at = breaks_at
        self.calls = []

    def count_tokens(self, prompt):
        return 1

    def generate(self, prompts, *, n=1, max_new_tokens=64, temperature=0.0, seed=0):
        if self.breaks_at is not None and any(self.breaks_at in self.last(prompt) for prompt in prompts):
            raise KeyboardInterrupt
        self.calls.append((list(prompts), temperature, seed))
        return [[Generation(self.reply(prompt))] for prompt in prompts]

    def last(self, prompt):
        return prompt if isinstance(prompt, str) else prompt[-1]["content"]

    def reply(self, prompt):
        # The first turn identifies a conversation, the last one the request.
        turns = [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt]
        return next(text for (first, last), text in self.script.items() if first in turns[0] and last in turns[-1])


def truth(*, prompts, completions, **_):
    """The number at the end of a completion."""
    return [float(text.split()[-1]) for text in completions]


REVISING = {
    ("a?", "a?"): "it is 0.2",
    ("b?", "b?"): "it is 0.9",
    ("c?", "c?"): "same 0.5",
    ("d?", "d?"): "",
    ("e?", "e?"): "long 0.1",
    ("", "What may be false?"): "The number.",
    ("a?", "Fix it."): "Revised answer: it is 0.8",
    ("b?", "Fix it."): "it is 0.3",
    ("c?", "Fix it."): "Same, 0.5",
    ("e?", "Fix it."): "far far far far far more 0.9",
}


def test_a_revision_is_chosen_over_its_draft_if_the_reward_agrees(tmp_path):
    lm = Talking(REVISING)
    pairs = pairs_from_constitution(
        lm, ["a?", "b?", "c?", "d?", "e?"], PRINCIPLES, reward=truth, seed=5, out=tmp_path / "pairs"
    )
    assert pairs.to_list() == [
        {
            "row": 0,
            "prompt": [{"role": "user", "content": "a?"}],
            "chosen": [{"role": "assistant", "content": "it is 0.8"}],
            "rejected": [{"role": "assistant", "content": "it is 0.2"}],
            "chosen_factuality": 0.8,
            "rejected_factuality": 0.2,
            "principle": "doubt",
            "critique": "The number.",
        }
    ]
    drafting, criticizing, revising = lm.calls
    assert drafting[1:] == (1.0, 5)
    assert criticizing[1] == revising[1] == 0.0
    # An empty draft is not criticized, and the revision sees the whole conversation.
    assert len(criticizing[0]) == 4
    assert [message["content"] for message in revising[0][0]] == [
        "a?", "it is 0.2", "What may be false?", "The number.", "Fix it.",
    ]  # fmt: skip
    manifest = json.loads((tmp_path / "pairs" / "manifest.json").read_text())
    counts = {
        key: manifest[key]
        for key in ("pairs", "unchanged_empty_or_cut", "of_different_length", "reward_disagreed", "method")
    }
    assert counts == {
        "pairs": 1, "unchanged_empty_or_cut": 2, "of_different_length": 1, "reward_disagreed": 1, "method": "constitution",
    }  # fmt: skip
    assert manifest["principles"] == [{"name": "doubt", "critique": "What may be false?", "revision": "Fix it."}]


def test_without_a_reward_the_revision_is_trusted():
    pairs = pairs_from_constitution(Talking(REVISING), ["a?", "b?"], PRINCIPLES)
    assert pairs["chosen_factuality"][:] == [1.0, 1.0]
    assert [row[0]["content"] for row in pairs["rejected"]] == ["it is 0.2", "it is 0.9"]


def test_principles_are_drawn_by_seed_and_each_pair_records_its_own():
    names = "one", "two", "three"
    principles = [Principle(name, "What may be false?", "Fix it.") for name in names]

    def drawn(seed):
        script = {(f"{i}?", f"{i}?"): f"x {i}" for i in range(9)} | {("", "What may"): "All.", ("", "Fix it."): "y 9"}
        pairs = pairs_from_constitution(Talking(script), [f"{i}?" for i in range(9)], principles, seed=seed, batch_size=4)
        return pairs["principle"][:]

    assert drawn(0) == drawn(0) != drawn(1)
    assert set(drawn(0)) <= set(names)
    assert len(set(drawn(0))) > 1


def test_an_interrupted_build_resumes_at_its_missing_batch(tmp_path):
    options = {"batch_size": 1, "out": tmp_path / "pairs"}
    with pytest.raises(KeyboardInterrupt):
        pairs_from_constitution(Talking(REVISING, breaks_at="b?"), ["a?", "b?"], PRINCIPLES, **options)
    again = Talking(REVISING)
    pairs = pairs_from_constitution(again, ["a?", "b?"], PRINCIPLES, **options)
    assert [last for prompts, _, _ in again.calls for last in map(again.last, prompts)] == [
        "b?", "What may be false?", "Fix it.",
    ]  # fmt: skip
    assert pairs.to_list() == load_from_disk(str(tmp_path / "pairs")).to_list()
    with pytest.raises(InvalidInput, match="made from other data"):
        pairs_from_constitution(Talking(REVISING), ["a?", "b?"], [Principle("other", "x", "y")], **options)


def test_a_verified_answer_is_chosen_over_its_draft_if_the_reward_agrees():
    class Verifying(Talking):
        def reply(self, prompt):
            text = self.last(prompt)
            if "Corrected answer" in text:
                return "Alexander Fleming found it in 0.8" if "Curie" in text else "It was found in 1800 or 0.2"
            if text in ("Who?", "When?"):
                return "Marie Curie found it in 0.1" if text == "Who?" else "It was found in 1928 or 0.9"
            return "1. Who found penicillin?" if "Question" in text or "question" in text else "Fleming"

    chain = ChainOfVerification(Verifying({}), "factored")
    pairs = pairs_from_verification(chain, ["Who?", "When?"], truth)
    assert len(pairs) == 1
    row = pairs[0]
    assert row["chosen"][0]["content"] == "Alexander Fleming found it in 0.8"
    assert row["rejected"][0]["content"] == "Marie Curie found it in 0.1"
    assert (row["chosen_factuality"], row["rejected_factuality"]) == (0.8, 0.1)
    assert row["checks"][0].startswith("Who found penicillin?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_margin": 0.0}, "min_margin is 0.0"),
        ({"max_length_ratio": 0.5}, "max_length_ratio is 0.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"principles": []}, "there are no principles"),
        ({"columns": {"context": ["x", "y"]}}, "there are 2 context for 1 prompts"),
        (
            {"min_margin": 0.7},
            r"no prompt gave a pair \(unchanged empty or cut: 0, of different length: 0, reward disagreed: 1\)",
        ),
        ({"reward": lambda **_: [float("nan")] * 2}, "the reward of row 0, whose completion begins 'it is 0.8', is nan"),
    ],
)
def test_unusable_options_are_named(options, message):
    with pytest.raises(InvalidInput, match=message):
        pairs_from_constitution(Talking(REVISING), ["a?"], **{"principles": PRINCIPLES, "reward": truth, **options})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("principles: [", "cannot be read"),
        ("[]", "holds no principles"),
        ("principles: []", "holds no principles"),
        ("principles: [{name: x, critique: y}]", "principle 0 of .* has the revision None"),
        ("principles: [{name: x, critique: '', revision: z}]", "principle 0 of .* has the critique ''"),
        ("principles: [x]", "principle 0 of .* has the name None"),
        ("principles: [{name: x, critique: y, revision: z}, {name: x, critique: y, revision: z}]", "2 principles named 'x'"),
    ],
)
def test_unusable_principles_are_named(tmp_path, text, message):
    (tmp_path / "principles.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=message):
        load_principles(tmp_path / "principles.yaml")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_principles(tmp_path / "none.yaml")


def test_the_principles_of_the_package_are_about_truth_and_have_different_names():
    names = [principle.name for principle in load_principles()]
    assert len(names) == len(set(names)) >= 4
    assert "unsupported-facts" in names


def test_the_default_model_drafts_criticizes_and_revises_and_trl_takes_the_pairs(lm, tiny, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig

    prompts = ["Who discovered penicillin?", "What is the capital of France?"]
    pairs = pairs_from_constitution(lm, prompts, max_new_tokens=96, max_length_ratio=20)
    assert set(pairs["principle"]) <= {principle.name for principle in load_principles()}
    assert all(pairs["critique"])
    args = DPOConfig(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, gradient_checkpointing=False
    )
    trainer = FactualityDPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny),
        args=args,
        train_dataset=pairs,
        processing_class=AutoTokenizer.from_pretrained(tiny),
        factuality_weight=1.0,
    )
    assert len(next(iter(trainer.get_train_dataloader()))["chosen_factuality"]) == len(pairs)


def test_the_default_model_verifies_its_drafts(lm):
    def whole(*, prompts, completions, **_):
        """1 for a text that ends with its sentence."""
        return [float(text.endswith(".")) for text in completions]

    chain = ChainOfVerification(lm, max_new_tokens=24, max_questions=1)
    pairs = pairs_from_verification(chain, ["Who discovered penicillin?"], whole)
    # The draft breaks off after 24 tokens; the answer after verification leaves the broken sentence out.
    assert pairs[0]["rejected"][0]["content"].startswith(pairs[0]["chosen"][0]["content"])
    assert pairs[0]["checks"][0].startswith("Who discovered penicillin?")
