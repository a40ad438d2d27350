"""Credit for sentences: which tokens it falls on, and what it makes of advantages, in GRPO and PPO."""

import pytest
import torch
from datasets import Dataset
from scripted import Scripted
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig

from training import FactualityReward
from training.rewards.credit import CreditedSpan, credited_advantages, token_credits
from training.trainers.grpo import CreditGRPOTrainer

FACTS = {"Paris": (0.9, 0.0), "Oslo": (0.1, 0.8), "Bern": (0.2, 0.1)}


def credits_of(completion):
    reward = FactualityReward(Scripted(FACTS))
    reward(prompts=["Tell me."], completions=[completion], context=["A passage."])
    return reward.credits[0]


def credited_text(tokenizer, completion):
    """The text of the tokens with credit -1 and 1."""
    ids = tokenizer(completion)["input_ids"]
    credits = token_credits(tokenizer, ids, credits_of(completion))
    return {sign: tokenizer.decode([i for i, c in zip(ids, credits, strict=True) if c == sign]).strip() for sign in (-1, 1)}


@pytest.mark.parametrize(
    ("completion", "false", "true"),
    [
        ("Paris is a big town. Oslo is a small town. Bern is a town.", "Oslo is a small town.", "Paris is a big town."),
        ("<think>Oslo is a small town.</think>Oslo is a small town.", "Oslo is a small town.", ""),
        ("Oslo is ünlü. Paris is très big.", "Oslo is ünlü.", "Paris is très big."),
        ("Paris is a big town.\nConfidence: 0.9", "", "Paris is a big town."),
        ("I don't know.", "", ""),
    ],
)
def test_tokens_have_the_credit_of_their_sentence(tokenizer, completion, false, true):
    assert credited_text(tokenizer, completion) == {-1: false, 1: true}


def test_a_sentence_that_is_thought_and_said_is_credited_where_it_is_said(tokenizer):
    completion = "<think>Oslo is small.</think>Oslo is small."
    ids = tokenizer(completion)["input_ids"]
    credits = token_credits(tokenizer, ids, credits_of(completion))
    first = credits.index(-1)
    assert tokenizer.decode(ids[:first]).endswith("</think>")


def test_advantages_become_negative_at_contradicted_and_positive_at_supported_tokens(tokenizer):
    ids = torch.tensor([tokenizer("Oslo is big. Paris is big.")["input_ids"]] * 2)
    spans = [CreditedSpan("Oslo is big.", 0, -1), CreditedSpan("Paris is big.", 13, 1)]
    half = len(tokenizer("Oslo is big.")["input_ids"])
    mask = torch.ones_like(ids)
    changed = credited_advantages(tokenizer, ids, mask, torch.tensor([2.0, -0.5]), [spans, spans])
    assert changed[:, :half].tolist() == [[-2.0] * half, [-0.5] * half]
    assert changed[:, half:].tolist() == [[2.0] * (ids.shape[1] - half), [0.5] * (ids.shape[1] - half)]
    # Tokens without a judged sentence, and advantages of tokens, stay as they are.
    per_token = torch.arange(ids.numel(), dtype=torch.float32).reshape(ids.shape)
    assert torch.equal(credited_advantages(tokenizer, ids, mask, per_token, [[], []]), per_token)


def test_grpo_trains_on_the_advantages_of_tokens(tokenizer, tmp_path):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    seen = []

    def credit(tokenizer_, ids, mask, advantages):
        changed = advantages[:, None].expand(ids.shape).clone()
        changed[:, 0] = -changed[:, 0].abs()
        seen.append((advantages, changed))
        return changed

    trainer = CreditGRPOTrainer(
        model=LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape)),
        reward_funcs=[lambda *, completions, **_: [float(i) for i in range(len(completions))]],
        args=GRPOConfig(
            str(tmp_path), per_device_train_batch_size=2, num_generations=2, max_completion_length=4, max_steps=1,
            use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, save_strategy="no", logging_steps=1,
        ),
        train_dataset=Dataset.from_list([{"prompt": "Who?"}] * 2),
        processing_class=tokenizer,
        credit=credit,
    )  # fmt: skip
    trainer.train()
    before, after = seen[0]
    assert sorted(before.sign().tolist()) == [-1.0, 1.0]
    logged = next(entry for entry in trainer.state.log_history if "credit/changed" in entry)
    # One of the two completions had a positive advantage, and the sign of its first token changed.
    assert 0 < logged["credit/changed"] <= 0.5
    assert (after[:, 0] < 0).all()
