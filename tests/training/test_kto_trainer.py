"""The sentence-level loss of KTO: by hand, from the logits of a tiny random Llama, and in a run."""

import json
import math

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tiny_model import tiny_llama
from trl import KTOConfig, KTOTrainer

from halluc.errors import InvalidInput
from training.rewards.credit import located_sentences
from training.runs.config import load_config
from training.runs.kto import KTORun, run_kto
from training.trainers.kto import SentenceKTOTrainer, sentence_losses

BETA = 0.5
FIRST, SECOND = "Paris is big.", " Oslo is small."
ROWS = {
    "prompt": ["Tell me. ", "And then? "],
    "completion": [FIRST + SECOND, "No."],
    "label": [True, False],
    "sentences": [
        [{"text": FIRST, "start": 0, "credit": 1}, {"text": SECOND.strip(), "start": len(FIRST) + 1, "credit": -1}],
        [{"text": "No.", "start": 0, "credit": 0}],
    ],
}


@pytest.fixture
def make(tokenizer, tmp_path):
    def trainer(kind=SentenceKTOTrainer, rows=ROWS, peft_config=None, settings=None, **options):
        arguments = {"beta": BETA, "per_device_train_batch_size": 2, "report_to": "none", "use_cpu": True, "bf16": False}
        arguments |= {"disable_tqdm": True, "save_strategy": "no", "max_steps": 1, "learning_rate": 0.01}
        return kind(
            model=tiny_llama(tokenizer, 1),
            ref_model=None if peft_config else tiny_llama(tokenizer, 2),
            args=KTOConfig(str(tmp_path), **(arguments | (settings or {}))),
            train_dataset=Dataset.from_dict(rows),
            processing_class=tokenizer,
            peft_config=peft_config,
            **({"locate": located_sentences} if kind is SentenceKTOTrainer else {}),
            **options,
        )

    return trainer


def loss_of(trainer):
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(2)])
    return trainer._compute_loss(trainer.model, batch, False)


def test_losses_of_sentences_are_those_of_kto_with_the_tokens_of_each():
    log_ratios = torch.tensor([[0.2, 0.3, -0.4, 0.7], [1.0, 2.0, 0.0, 0.0]])
    places = torch.tensor([[0, 0, 1, -1], [0, 1, -1, -1]])
    credits = torch.tensor([[1, 1, -1, 0], [0, -1, 0, 0]])
    losses = sentence_losses(log_ratios, places, credits, beta=0.5, kl_per_token=0.1, weights=(2.0, 3.0))
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    by_hand = [
        2 * (1 - sigmoid(0.5 * (0.5 - 0.2))),
        3 * (1 - sigmoid(0.5 * (0.1 + 0.4))),
        3 * (1 - sigmoid(0.5 * (0.1 - 2.0))),
    ]
    assert losses.tolist() == pytest.approx(by_hand)
    assert sentence_losses(log_ratios, places, 0 * credits, beta=0.5, kl_per_token=0.1).shape == (0,)


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_the_loss_is_that_of_trl_plus_the_weighted_mean_over_sentences(make, tokenizer, loss_type):
    settings = {"loss_type": loss_type}
    theirs, ours = make(KTOTrainer, settings=settings), make(settings=settings, sentence_weight=0.7)
    expected = loss_of(theirs)
    prompt, ids = (ours.train_dataset[0][name] for name in ("prompt_ids", "completion_ids"))
    sequence = torch.tensor([prompt + ids])
    logps = []
    for model in (ours.model, ours.ref_model):
        with torch.no_grad():
            table = torch.log_softmax(model(input_ids=sequence).logits[0, :-1], dim=-1)
        logps.append(table.gather(1, sequence[0, 1:, None])[len(prompt) - 1 :, 0])
    ratios = logps[0] - logps[1]
    first = len(tokenizer(FIRST)["input_ids"])
    second = first + len(tokenizer(SECOND)["input_ids"])
    kl = theirs._metrics["train"]["kl"][-1]
    # Completions on each other's prompts: their mean length is that of the completions.
    mean_tokens = sum(len(row["completion_ids"]) for row in ours.train_dataset) / 2
    per_token = kl / mean_tokens if loss_type == "kto" else 0.0
    good = 1 - torch.sigmoid(BETA * (ratios[:first].sum() - per_token * first))
    bad = 1 - torch.sigmoid(BETA * (per_token * (second - first) - ratios[first:second].sum()))
    assert loss_of(ours).item() == pytest.approx((expected + 0.7 * (good + bad) / 2).item(), abs=1e-5)
    assert ours._metrics["train"]["sentences/number"] == [2]


def test_without_a_weight_the_loss_is_that_of_trl_and_needs_no_column(make):
    rows = {name: values for name, values in ROWS.items() if name != "sentences"}
    assert torch.equal(loss_of(make(rows=rows)), loss_of(make(KTOTrainer, rows=rows)))


def test_gradients_make_the_supported_sentence_likelier_and_the_contradicted_one_unlikelier(make):
    trainer = make(peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"), sentence_weight=1.0)
    row = trainer.train_dataset[0]
    sequence = torch.tensor([row["prompt_ids"] + row["completion_ids"]])
    start = len(row["prompt_ids"])
    places = torch.tensor(row["span_of_token"])

    def of_sentences():
        with torch.no_grad():
            table = torch.log_softmax(trainer.model(input_ids=sequence).logits[0, :-1], dim=-1)
        logps = table.gather(1, sequence[0, 1:, None])[start - 1 :, 0]
        return [float(logps[places == number].sum()) for number in (0, 1)]

    before = of_sentences()
    trainer.args.learning_rate = 0.05
    trainer.args.max_steps = 8
    trainer.train()
    after = of_sentences()
    assert after[0] - before[0] > after[1] - before[1]


def test_a_token_belongs_to_the_contradicted_of_the_spans_that_it_is_in(tokenizer):
    text = "Paris is big, and Oslo is small."
    ids = tokenizer(text)["input_ids"]
    sentences = [{"text": text, "start": 0, "credit": 1}, {"text": "Oslo is small.", "start": 18, "credit": -1}]
    places = located_sentences(tokenizer, ids, sentences)
    assert set(places) == {0, 1}
    assert tokenizer.decode([i for i, place in zip(ids, places, strict=True) if place == 1]).strip() == "Oslo is small."
    assert located_sentences(tokenizer, ids, []) == [-1] * len(ids)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (ROWS, {"sentence_weight": -1.0}, "sentence_weight is -1.0; pass 0 or more"),
        ({k: v for k, v in ROWS.items() if k != "sentences"}, {"sentence_weight": 1.0}, "no column 'sentences'"),
        (ROWS | {"sentences": [[], ROWS["sentences"][1]]}, {"sentence_weight": 1.0}, "no sentence of any completion"),
        (ROWS, {"sentence_weight": 1.0, "settings": {"precompute_ref_log_probs": True}}, "precompute_ref_log_probs too"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(make, rows, options, message):
    with pytest.raises(InvalidInput, match=message):
        make(rows=rows, **options)


def test_a_run_judges_the_sentences_of_completions_by_their_context(configure, tmp_path):
    rows = [
        {
            "prompt": "Tell me about Oslo.",
            "chosen": "Oslo is the capital of Norway. Oslo is the capital of Peru.",
            "rejected": "I cannot say anything.",
            "context": "Oslo is the capital of Norway.",
        }
    ] * 2
    facts = run_kto(load_config(KTORun, configure("examples", rows, max_steps=2, sentence_weight=0.5)))
    assert facts["supported_sentences"] == 2
    assert facts["contradicted_sentences"] == 2
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert sum(line.get("sentences/number", 0) for line in log) > 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "no column 'context', 'references' or 'sentences'"),
        ({"context": None}, "row 0 has no evidence"),
        ({"sentences": [{"text": "B.", "start": 0, "credit": 1}]}, "the sentence 'B.' is not in the completion of row 0"),
        ({"sentences": [{"text": "A.", "start": 0, "credit": 0.5}]}, "has the credit 0.5"),
    ],
)
def test_examples_without_usable_sentences_are_refused_before_training(configure, row, message):
    rows = [{"prompt": "a?", "completion": "A.", "label": label, **row} for label in (True, False)]
    with pytest.raises(InvalidInput, match=message):
        run_kto(load_config(KTORun, configure("examples", rows, sentence_weight=0.5)))
