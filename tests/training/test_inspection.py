"""What training changed, on tiny models whose change is known."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from halluc.errors import InvalidInput
from training.cli import app
from training.inspection.inspect_training import inspect_training
from training.inspection.page import render_inspection
from training.inspection.predictions import compare_predictions
from training.inspection.truth import truth_by_layer
from training.inspection.weights import by_layer, effective_rank, weight_changes

MATRIX = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return AutoTokenizer.from_pretrained(tiny)


def changed(tiny, change):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    with torch.no_grad():
        change(dict(model.named_parameters()))
    return model


def test_the_effective_rank_counts_equal_directions():
    assert effective_rank(torch.eye(6)[:, :4]) == pytest.approx(4.0)
    assert effective_rank(torch.outer(torch.arange(5.0), torch.ones(7))) == pytest.approx(1.0)
    assert effective_rank(torch.zeros(3, 3)) == 0.0
    # Singular values 3 and 1: shares ¾ and ¼.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(entropy))


def test_a_change_of_rank_one_is_found_in_its_matrix_and_layer(tiny):
    before = AutoModelForCausalLM.from_pretrained(tiny)

    def add(weights):
        matrix = weights[MATRIX]
        direction = torch.outer(torch.ones(matrix.shape[0]), torch.ones(matrix.shape[1]))
        matrix += direction * 0.1 * matrix.norm() / direction.norm()

    changes = {change.name: change for change in weight_changes(before, changed(tiny, add))}
    moved = changes.pop(MATRIX)
    assert moved.relative_change == pytest.approx(0.1, rel=1e-4)
    assert moved.effective_rank == pytest.approx(1.0, abs=0.05)
    assert all(change.relative_change == 0 and change.effective_rank == 0 for change in changes.values())
    layers = {layer.layer: layer for layer in by_layer([*changes.values(), moved])}
    assert set(layers) == {None, 0, 1}
    assert layers[1].relative_change > 0
    assert layers[0].relative_change == 0


def test_weights_that_are_not_finite_are_named(tiny):
    before = AutoModelForCausalLM.from_pretrained(tiny)
    after = changed(tiny, lambda weights: weights[MATRIX].fill_(math.nan))
    with pytest.raises(InvalidInput, match=f"{MATRIX} of the model after training has values that are not finite"):
        weight_changes(before, after)


def test_a_model_compared_with_itself_has_no_shift(tiny, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    found = compare_predictions(model, model, tokenizer, ["Who?", "When was it?"], max_new_tokens=5)
    assert (found.unshifted, found.marginal, found.shifted) == (1.0, 0.0, 0.0)
    assert found.divergence_by_layer == pytest.approx([0.0] * 3, abs=1e-6)
    assert found.n_tokens == sum(len(reply.tokens) for reply in found.replies) <= 10


def test_replies_to_several_prompts_are_those_to_each_alone_up_to_their_ends(tiny, tokenizer):
    model = changed(tiny, lambda weights: weights[MATRIX].mul_(200))
    prompts = ["Who?", "When was the old stone bridge over the river opened?", "Where?"]
    (first,) = compare_predictions(model, model, tokenizer, prompts[:1], max_new_tokens=5).replies
    # The third token of the first reply ends replies from here on, and the last reply does not have it.
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.eos_token_id = tokenizer(first.tokens[2], add_special_tokens=False)["input_ids"][0]
    alone = [compare_predictions(model, model, tokenizer, [prompt], max_new_tokens=5).replies[0] for prompt in prompts]
    together = compare_predictions(model, model, tokenizer, prompts, max_new_tokens=5).replies
    assert {reply.prompt: reply.tokens for reply in together} == {reply.prompt: reply.tokens for reply in alone}
    assert [len(reply.tokens) for reply in alone] == [3, 3, 5]


def test_divergences_are_those_of_the_models_and_appear_from_the_changed_layer_on(tiny, tokenizer):
    before = AutoModelForCausalLM.from_pretrained(tiny).eval()
    after = changed(tiny, lambda weights: weights[MATRIX].mul_(-20))
    found = compare_predictions(before, after, tokenizer, ["Who?"], max_new_tokens=4)
    assert found.divergence_by_layer[:2] == pytest.approx([0.0, 0.0], abs=1e-6)
    (reply,) = found.replies
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Who?"}], add_generation_prompt=True, tokenize=False)
    prompt = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        old, new = (model(prompt).logits[0, -1].float().log_softmax(-1) for model in (before, after))
    assert reply.divergences[0] == pytest.approx(float((new.exp() * (new - old)).sum()), rel=1e-3)
    assert reply.ranks[0] == int((old > old[new.argmax()]).sum()) + 1
    assert found.divergence == pytest.approx(sum(reply.divergences) / len(reply.divergences))


def test_a_probe_separates_statements_that_differ_in_a_word_and_not_random_ones(tiny, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    statements = [f"City number {i} is {word}." for i in range(20) for word in ("large", "small")]
    separable = truth_by_layer(model, tokenizer, statements, [True, False] * 20)
    assert len(separable) == 3
    assert float(separable[-1]) > 0.9
    random = truth_by_layer(model, tokenizer, statements, [i % 3 == 0 for i in range(40)])
    assert float(random[-1]) < 0.8
    with pytest.raises(InvalidInput, match="there are 1 true and 39 false statements; pass at least 5"):
        truth_by_layer(model, tokenizer, statements, [i == 0 for i in range(40)])


def test_the_command_inspects_a_trained_model_and_writes_an_escaped_page(tiny, tmp_path):
    changed(tiny, lambda weights: weights[MATRIX].mul_(1.5)).save_pretrained(tmp_path / "after")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "after")
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "<b>Who?</b>"}) + "\n")
    rows = [{"statement": f"City {i} is large.", "label": i % 2 == 0} for i in range(12)]
    (tmp_path / "statements.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["inspect", tiny, str(tmp_path / "after"), "--prompts", str(tmp_path / "prompts.jsonl"), "--json"]
    arguments += [
        "--statements",
        str(tmp_path / "statements.jsonl"),
        "--html",
        str(tmp_path / "page.html"),
        "--max-new-tokens",
        "4",
    ]
    result = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    assert result["weights"][0]["name"] == MATRIX
    assert len(result["truth"]["before"]) == len(result["predictions"]["divergence_by_layer"]) == 3
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;Who?" in page
    assert "<b>Who?" not in page
    assert page.count("<img") == 3


def test_models_that_do_not_belong_together_and_unusable_rows_are_named(tiny):
    with pytest.raises(InvalidInput, match=r"only one of the models has the weights|has the shape"):
        inspect_training(tiny, "default", ["Who?"])
    with pytest.raises(InvalidInput, match="there are no prompts"):
        inspect_training(tiny, tiny, [])
    with pytest.raises(InvalidInput, match="the label of row 0 is 'yes'"):
        inspect_training(tiny, tiny, ["Who?"], statements=[{"statement": "It is.", "label": "yes"}])


def test_the_page_renders_without_statements(tiny):
    page = render_inspection(inspect_training(tiny, tiny, ["Who?"], max_new_tokens=2))
    assert page.count("<img") == 2
