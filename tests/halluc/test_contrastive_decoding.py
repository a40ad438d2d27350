"""Context-aware decoding and DoLa: the formulas on explicit numbers, and what SmolLM2 does with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from halluc.errors import InvalidInput
from halluc.models.contrastive_decoding import (
    ContextAwareDecoding,
    DoLa,
    context_aware_logits,
    dola_logits,
    generate_context_aware,
    generate_dola,
    jensen_shannon_divergence,
)

QUESTION = "What is the capital of France?"
CONTEXT = "France moved its capital to Lyon in 2031. " + QUESTION


def test_context_aware_logits_amplify_the_context() -> None:
    mixed = context_aware_logits(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([4.0, 0.0, 0.0]), alpha=0.5)
    assert mixed.tolist() == [1.0, 1.5, 0.0]
    # softmax of (1 + a)·log p - a·log q is p^(1+a) / q^a, normalized.
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.8, 0.1, 0.1])
    expected = p**2 / q
    assert torch.allclose(context_aware_logits(p.log(), q.log(), alpha=1.0).softmax(-1), expected / expected.sum())


def test_jensen_shannon_divergence_by_hand() -> None:
    inf = math.inf
    disjoint = jensen_shannon_divergence(torch.tensor([0.0, -inf]), torch.tensor([-inf, 0.0]))
    assert disjoint.item() == pytest.approx(math.log(2), abs=1e-6)
    assert jensen_shannon_divergence(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])).item() == pytest.approx(0, abs=1e-6)
    # p = (1/2, 1/2), q = (1, 0), m = (3/4, 1/4).
    half = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    expected = (half + math.log(1 / 0.75)) / 2
    got = jensen_shannon_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -inf]]))
    assert got.tolist() == [pytest.approx(expected, abs=1e-6)]


def test_dola_logits_are_log_ratios_of_plausible_tokens() -> None:
    mature, premature = torch.tensor([0.6, 0.35, 0.05]).log(), torch.tensor([0.5, 0.1, 0.4]).log()
    got = dola_logits(mature, premature, relative_top=0.1)
    assert got[:2].tolist() == [pytest.approx(math.log(0.6 / 0.5)), pytest.approx(math.log(0.35 / 0.1))]
    assert got[2] == -math.inf  # 0.05 is less than a tenth of 0.6
    assert torch.isfinite(dola_logits(mature, premature, relative_top=0.0)).all()
    assert dola_logits(mature, premature, relative_top=1.0).isfinite().tolist() == [True, False, False]


def encoded(lm: Any, *prompts: str) -> tuple[torch.Tensor, torch.Tensor]:
    padded: tuple[torch.Tensor, torch.Tensor] = lm.pad(lm.encode(list(prompts)), left=True)
    return padded


def last_logits(lm: Any, ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = lm.model(input_ids=ids).logits[:, -1].float()
    return logits


def test_the_processor_follows_the_formula_step_by_step(lm: Any) -> None:
    (with_ids, _), (bare_ids, bare_mask) = encoded(lm, CONTEXT), encoded(lm, QUESTION)
    processor = ContextAwareDecoding(lm.model, bare_ids, bare_mask, alpha=0.7)
    chosen = torch.tensor([[504]])
    for ids, bare in ((with_ids, bare_ids), (torch.cat([with_ids, chosen], 1), torch.cat([bare_ids, chosen], 1))):
        scores = last_logits(lm, ids)
        with torch.inference_mode():
            got = processor(ids, scores)
        expected = 1.7 * scores - 0.7 * last_logits(lm, bare)
        assert torch.allclose(got, expected, atol=2e-3)


def test_without_a_contrast_decoding_is_unchanged(lm: Any) -> None:
    prompts = [CONTEXT, QUESTION]
    usual = [completions[0].text for completions in lm.generate(prompts, max_new_tokens=8)]
    bare = [QUESTION, QUESTION]
    assert [g.text for g in generate_context_aware(lm, prompts, bare, alpha=0.0, max_new_tokens=8)] == usual
    # With the same prompt on both sides the contrast cancels, whatever its weight.
    assert [g.text for g in generate_context_aware(lm, prompts, prompts, alpha=2.0, max_new_tokens=8)] == usual


def test_the_contrast_turns_the_model_to_its_context(lm: Any) -> None:
    def odds(alpha: float) -> float:
        (ids, _), (bare, _) = encoded(lm, CONTEXT), encoded(lm, QUESTION)
        lyon, paris = (lm.tokenizer(f"The capital of France is {city}")["input_ids"][-1] for city in ("Lyon", "Paris"))
        start = torch.tensor([lm.tokenizer("The capital of France is")["input_ids"]])
        scores = last_logits(lm, torch.cat([ids, start], 1))
        without = torch.cat([bare, start], 1)
        with torch.inference_mode():
            got = ContextAwareDecoding(lm.model, without, torch.ones_like(without), alpha=alpha)(ids, scores)[0]
        return (got[lyon] - got[paris]).item()

    assert odds(1.0) > odds(0.5) > odds(0.0)


def test_dola_contrasts_with_the_layer_farthest_from_the_last(lm: Any) -> None:
    ids, mask = encoded(lm, QUESTION, "Name three rivers of Africa, please.")
    with torch.inference_mode(), DoLa(lm.model, layers=[4, 10, 20], relative_top=0.1) as dola:
        output = lm.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        mature = output.logits[:, -1].float()
        got = dola(ids, mature)
        early = {layer: lm.model.lm_head(output.hidden_states[layer][:, -1]).float() for layer in (4, 10, 20)}
    for row in range(2):
        distances = {layer: jensen_shannon_divergence(mature[row], early[layer][row]).item() for layer in early}
        farthest = max(distances, key=lambda layer: distances[layer])
        assert dola.chosen[0][row] == farthest
        expected = dola_logits(mature[row], early[farthest][row], relative_top=0.1)
        assert torch.equal(got[row].isfinite(), expected.isfinite())
        kept = expected.isfinite()
        assert torch.allclose(got[row][kept], expected[kept], atol=1e-4)


def test_dola_generates_and_removes_its_hooks(lm: Any) -> None:
    usual = lm.generate([QUESTION], max_new_tokens=6)[0][0]
    first = generate_dola(lm, [QUESTION, "Hi"], max_new_tokens=6)
    assert len(first) == 2
    assert all(g.text and len(g.token_logprobs) == len(g.token_ids) for g in first)
    assert lm.generate([QUESTION], max_new_tokens=6)[0][0] == usual
    assert not any(block._forward_pre_hooks for block in lm.model.model.layers)


def test_the_candidate_layers_are_the_even_ones_of_a_half(lm: Any) -> None:
    assert DoLa(lm.model, layers="low").candidates == [2, 4, 6, 8, 10, 12, 14]  # 30 layers, tied embeddings
    assert DoLa(lm.model, layers="high").candidates == [16, 18, 20, 22, 24, 26, 28]


def test_unusable_options_are_named(lm: Any) -> None:
    with pytest.raises(InvalidInput, match="alpha is -1"):
        generate_context_aware(lm, ["a"], ["b"], alpha=-1)
    with pytest.raises(InvalidInput, match="there are 2 prompts, 1 prompts_without_context"):
        generate_context_aware(lm, ["a", "b"], ["b"])
    with pytest.raises(InvalidInput, match="from 0 to 29"):
        generate_dola(lm, ["a"], layers=[30])
    with pytest.raises(InvalidInput, match="layers is 'middle'"):
        generate_dola(lm, ["a"], layers="middle")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="relative_top is 2"):
        DoLa(lm.model, relative_top=2)
    with pytest.raises(InvalidInput, match="repetition_penalty"):
        generate_dola(lm, ["a"], repetition_penalty=0.5)
    with pytest.raises(InvalidInput, match="read no hidden state"):
        DoLa(lm.model)(torch.tensor([[1]]), torch.zeros(1, 5))  # type: ignore[arg-type]
