"""A small real training run, by the command a user types."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer
from typer.testing import CliRunner

from halluc import load_verifier
from halluc.errors import InvalidInput
from halluc.verification.pair_encoder import PairOutput
from retrieval.encoders import encoder_folder
from training.cli import app
from training.runs.config import load_config
from training.verifier import train
from training.verifier.config import VerifierConfig
from training.verifier.encoding import PairCollator, encode
from training.verifier.loss import verifier_loss
from training.verifier.pairs import ClaimSpan, Pair
from training.verifier.thresholds import calibration_pairs
from training.verifier.train import train_verifier, training_pairs
from training.verifier.unlabeled import unlabeled_pairs

EXAMPLES = Path(__file__).parents[2] / "examples" / "training"
COLORS = ["red", "blue", "green", "white", "black", "yellow"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Premises about colored things, and hypotheses that agree or do not."""
    generator = random.Random(0)
    rows = []
    for i in range(600):
        color, other = generator.sample(COLORS, 2)
        entailed = i % 2 == 0
        hypothesis = f"The box is {color if entailed else other}."
        label = "entailment" if entailed else "contradiction"
        rows.append({"premise": f"Box number {i} is {color}.", "hypothesis": hypothesis, "label": label})
    folder = tmp_path_factory.mktemp("data")
    (folder / "nli").mkdir()
    (folder / "nli" / "snli.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.mark.parametrize("lora_rank", [0, 8])
def test_the_command_trains_a_verifier_that_learns(data, tmp_path, lora_rank):
    config = tmp_path / "config.yaml"
    config.write_text(
        "sources: [snli]\nmost: {snli: 1000}\nepochs: 3\nbatch_size: 16\nlearning_rate: 3e-4\nmax_tokens: 32\n"
    )
    arguments = [
        "verifier",
        str(config),
        "--data",
        str(data),
        "--out",
        str(tmp_path / "v"),
        "--set",
        f"lora_rank={lora_rank}",
    ]
    arguments += ["--set", "learning_rate=1e-3", "--set", "epochs=6"] if lora_rank else []
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["settings"]["lora_rank"] == lora_rank
    assert facts["training_pairs"] == pytest.approx(480, abs=40)
    verifier = load_verifier(str(tmp_path / "v"))
    assert verifier.calibrator is not None
    pairs = [
        (f"Chair number {i} is {a}.", f"The chair is {b}.")
        for i, (a, b) in enumerate(zip(COLORS, COLORS[::-1], strict=True))
    ]
    same = [(evidence, f"The chair is {COLORS[i]}.") for i, (evidence, _) in enumerate(pairs)]
    assert verifier.support(same).mean() > verifier.support(pairs).mean() + 0.3


def test_a_folder_in_use_and_data_without_rows_are_refused(data, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(InvalidInput, match="full is not empty; name a new folder"):
        train_verifier(VerifierConfig(), data, tmp_path / "full")
    (tmp_path / "nli").mkdir()
    (tmp_path / "nli" / "snli.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="has no training rows of snli"):
        train_verifier(VerifierConfig(sources=("snli",)), tmp_path, tmp_path / "new")


def pair(source="snli", label="supported", part="train", number=0, spans=None):
    return Pair("The bridge opened in 1987.", f"Claim {number}.", label, source, part, spans)


def test_of_each_data_set_and_class_at_most_so_many_pairs_are_taken():
    pairs = [
        pair(source, label, number=i) for source in ("snli", "rte") for label in ("supported", "refuted") for i in range(9)
    ]
    pairs += [pair(part="validation", number=100)]
    chosen = training_pairs(VerifierConfig(most={"snli": 3}), pairs)
    counts = {(s, label): sum(p.source == s and p.label == label for p in chosen) for s, label in
              (("snli", "supported"), ("snli", "refuted"), ("rte", "supported"))}  # fmt: skip
    assert counts == {("snli", "supported"): 3, ("snli", "refuted"): 3, ("rte", "supported"): 9}
    assert all(p.part == "train" for p in chosen)
    assert len(training_pairs(VerifierConfig(limit=5), pairs)) == 5
    marked = [pair("ragtruth", part="calibration", number=i) for i in range(150)]
    others = [pair("snli", part="calibration", number=i) for i in range(150)]
    chosen = calibration_pairs(marked + others + pairs, seed=0)
    assert [sum(p.source == source for p in chosen) for source in ("ragtruth", "snli")] == [150, 50]


def test_tokens_of_the_claim_have_the_labels_of_its_spans():
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    claim = "It weighs 3,420 kg and opened in 1990 in Graz."
    spans = (
        ClaimSpan(claim.index("1990"), claim.index("1990") + 4, "conflict"),
        ClaimSpan(claim.index("Graz"), 45, "baseless"),
    )
    rows = encode(
        [
            Pair("It opened in 1987.", claim, "not_supported", "x", "train", spans),
            Pair("It opened in 1987.", "It opened.", "supported", "x", "train", ()),
            Pair("It opened in 1987.", "It closed.", "refuted", "x", "train", None),
        ],
        tokenizer,
        [64] * 3,
    )
    labeled = dict(zip(tokenizer.convert_ids_to_tokens(rows[0]["input_ids"]), rows[0]["token_labels"], strict=True))
    assert (labeled["1990"], labeled["kilograms"], labeled["[CLS]"]) == (1, 0, -100)
    assert {label for token, label in labeled.items() if token in ("gr", "##az", "graz")} == {2}
    # The evidence has no labels, and the unknown has none.
    assert labeled["1987"] == -100
    assert sorted(set(rows[1]["token_labels"])) == [-100, 0]
    assert set(rows[2]["token_labels"]) == {-100}
    assert [row["labels"] for row in rows] == [3, 0, 1]
    batch = PairCollator(tokenizer)(rows)
    assert batch["input_ids"].shape == batch["token_labels"].shape
    assert batch["labels"].tolist() == [3, 0, 1]


def test_an_interrupted_run_goes_on_from_its_checkpoint(data, tmp_path, monkeypatch):
    """In its second epoch too, whose pairs are drawn anew, and with dropout."""
    settings = VerifierConfig(
        sources=("snli",), epochs=2, batch_size=16, max_tokens=32, save_steps=5, frozen_layers=4, limit=128, dropout=0.1,
        repeats={"snli": 1.25}, supported_repeats={"snli": 0.75}, bf16=False,
    )  # fmt: skip
    out, losses, last = tmp_path / "v", [], [0]

    def recorded(*arguments):
        if len(losses) == last[0]:
            raise KeyboardInterrupt
        losses.append(verifier_loss(*arguments))
        return losses[-1]

    monkeypatch.setattr(train, "verifier_loss", recorded)
    last[0] = -1
    train_verifier(settings, data, tmp_path / "uninterrupted")
    curve = [loss.item() for loss in losses]
    assert len(curve) == pytest.approx(16, abs=2)
    losses.clear()
    last[0] = 12
    with pytest.raises(KeyboardInterrupt):
        train_verifier(settings, data, out)
    with pytest.raises(InvalidInput, match=r"unfinished run with another learning_rate: 0\.0001, not 0\.001"):
        train_verifier(replace(settings, learning_rate=1e-3), data, out)
    losses.clear()
    last[0] = -1
    facts = train_verifier(settings, data, out)
    assert [loss.item() for loss in losses] == pytest.approx(curve[10:], abs=1e-4)
    assert facts["training_pairs"] == 128
    assert facts["training_seconds"] >= 0 < facts["training_processor_seconds"]
    assert sorted(path.name for path in out.iterdir()) == ["verifier.json", "weights.safetensors"]
    with pytest.raises(InvalidInput, match="is not empty; name a new folder"):
        train_verifier(settings, data, out)
    # What was frozen is that of the base, and is not saved.
    from safetensors.torch import load_file

    names = load_file(out / "weights.safetensors")
    assert any(".layer.5." in name for name in names)
    assert not any(".layer.3." in name for name in names)


def test_a_student_learns_from_a_teacher_and_from_where_another_ended(data, tmp_path):
    settings = VerifierConfig(
        sources=("snli",), epochs=1, batch_size=16, max_tokens=32, limit=128, learning_rate=3e-4, span_share=0.0
    )
    train_verifier(settings, data, tmp_path / "teacher")
    taught = replace(
        settings,
        start=str(tmp_path / "teacher"),
        teacher=str(tmp_path / "teacher"),
        teacher_share=1.0,
        unlabeled=16,
        packed=True,
    )
    facts = train_verifier(taught, data, tmp_path / "student")
    assert facts["settings"]["teacher"] == str(tmp_path / "teacher")
    assert load_verifier(tmp_path / "student").fingerprint != load_verifier(tmp_path / "teacher").fingerprint


LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 1.0]])
TOKENS = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]])
TEACHER = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])


def fixed_network(**_inputs):
    return PairOutput(LOGITS, TOKENS)


def test_the_loss_is_that_of_labels_teacher_and_tokens():
    labels = {"labels": torch.tensor([0, 3]), "token_labels": torch.tensor([[0, -100], [-100, 3]])}
    logs, token_logs = LOGITS.log_softmax(-1), TOKENS.log_softmax(-1)
    # Label 3 is either of the two labels other than "supported".
    of_labels = -(logs[0, 0] + torch.log(1 - logs[1, 0].exp())) / 2
    of_tokens = -(token_logs[0, 0, 0] + torch.log(1 - token_logs[1, 1, 0].exp())) / 2
    of_teacher = -(TEACHER * logs).sum(-1)
    assert verifier_loss(fixed_network, dict(labels), 0.5).item() == pytest.approx((of_labels + 0.5 * of_tokens).item())
    taught = {**labels, "teacher": TEACHER, "teacher_share": torch.tensor([0.25, 0.25])}
    expected = 0.75 * of_labels + 0.25 * of_teacher.mean()
    assert verifier_loss(fixed_network, dict(taught), 0.5).item() == pytest.approx((expected + 0.5 * of_tokens).item())
    assert verifier_loss(fixed_network, dict(taught), 0.0).item() == pytest.approx(expected.item())
    # The teacher judged both tokens of the second claim.
    token_teacher = torch.stack([torch.zeros(2, 3), TEACHER])
    of_token_teacher = -(TEACHER * token_logs[1]).sum(-1).mean()
    expected = expected + 0.5 * (of_tokens + of_token_teacher) / 2
    loss = verifier_loss(fixed_network, {**taught, "token_teacher": token_teacher}, 0.5).item()
    assert loss == pytest.approx(expected.item())


def test_a_pair_without_a_label_is_learned_from_the_teacher_alone():
    inputs = {"labels": torch.tensor([0, -100]), "token_labels": torch.full((2, 2), -100), "teacher": TEACHER}
    inputs |= {"teacher_share": torch.tensor([0.25, 1.0])}
    logs = LOGITS.log_softmax(-1)
    of_teacher = -(TEACHER * logs).sum(-1)
    expected = (-0.75 * logs[0, 0] + 0.25 * of_teacher[0] + of_teacher[1]) / 2
    assert verifier_loss(fixed_network, dict(inputs), 0.5).item() == pytest.approx(expected.item())
    token_teacher = torch.stack([torch.zeros(2, 3), TEACHER])
    of_tokens = -(TEACHER * TOKENS[1].log_softmax(-1)).sum(-1).mean()
    loss = verifier_loss(fixed_network, {**inputs, "token_teacher": token_teacher}, 0.5).item()
    assert loss == pytest.approx((expected + 0.5 * of_tokens).item())


def test_pairs_without_a_label_join_a_claim_with_evidence_on_its_subject_from_another_pair():
    pairs = [
        Pair("The heron eats fish in the lake.", "The heron eats fish.", "supported", "snli", "train"),
        Pair("A grey heron stood by the lake.", "The heron is grey.", "supported", "snli", "train"),
        Pair("Taxes on imported steel rose.", "Steel got cheaper.", "refuted", "snli", "train"),
        Pair("The heron flew away.", "The heron left.", "supported", "snli", "validation"),
    ]
    made = {pair.claim: pair for pair in unlabeled_pairs(pairs, 10, seed=0)}
    assert made["The heron eats fish."].evidence == "A grey heron stood by the lake."
    assert made["The heron is grey."].evidence == "The heron eats fish in the lake."
    assert set(made) == {"The heron eats fish.", "The heron is grey."}
    assert {pair.label for pair in made.values()} == {"unlabeled"}
    assert len(unlabeled_pairs(pairs, 1, seed=0)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 10, "accumulation": 4}, "batch_size is 10, which cannot be computed in 4 equal parts"),
        ({"unlabeled": 10}, "unlabeled is 10, but no teacher judges these pairs"),
        ({"unlabeled": -1}, "unlabeled is -1; it must be 0 or more"),
        ({"teacher_share": 1.5}, r"teacher_share is 1.5; it must be in \[0, 1\]"),
        ({"most": {"snl": 3}}, "most names the data set 'snl'"),
        ({"most": {"snli": -3}}, "most of snli is -3; it must be 0 or more"),
        ({"repeats": {"snl": 3}}, "repeats names the data set 'snl'; choose from mnli"),
        ({"supported_repeats": {"snli": -0.5}}, "supported_repeats of snli is -0.5; it must be 0 or more"),
        ({"repeats": {"snli": float("nan")}}, "repeats of snli is nan; it must be 0 or more"),
        ({"repeats": {"snli": float("inf")}}, "repeats of snli is inf; it must be 0 or more"),
        ({"teacher": "large", "teacher_shares": {"snli": 2}}, r"teacher_shares of snli is 2; it must be in \[0, 1\]"),
        ({"teacher_shares": {"snli": 0.5}}, "teacher_shares is set, but there is no teacher"),
        ({"dropout": 1.0}, r"dropout is 1.0; it must be in \[0, 1\)"),
        ({"excerpts": (256, 0)}, "excerpts has the length 0; each must be above 0"),
        ({"claim_seeds": 0}, "claim_seeds is 0; it must be above 0"),
        ({"save_steps": 0}, "save_steps is 0; it must be above 0"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, message):
    with pytest.raises(InvalidInput, match=message):
        VerifierConfig(**settings)


def test_no_layer_to_train_is_refused(data, tmp_path):
    with pytest.raises(InvalidInput, match="frozen_layers is 6, but the encoder has 6 layers; leave some to train"):
        train_verifier(VerifierConfig(sources=("snli",), frozen_layers=6), data, tmp_path / "v")


def test_excerpts_without_room_for_a_claim_are_refused_before_training(data, tmp_path):
    with pytest.raises(
        InvalidInput, match="max_tokens is 600, which leaves no room for a claim in the 512 tokens of MiniLM"
    ):
        train_verifier(VerifierConfig(sources=("snli",), excerpts=(128, 600)), data, tmp_path / "v")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("verifier*.yaml")), ids=lambda path: path.stem)
def test_the_settings_of_the_packaged_verifiers_can_be_read(path):
    config = load_config(VerifierConfig, path)
    # A data set that is drawn from, repeated or weighted is one that is trained on.
    assert {*config.most, *config.repeats, *config.supported_repeats, *config.teacher_shares} <= set(config.sources)


def test_repeats_and_the_share_of_the_teacher_depend_on_the_data_set_and_the_label():
    config = VerifierConfig(
        repeats={"snli": 2.5, "rte": 3.0}, supported_repeats={"snli": 0.5}, teacher="large", teacher_share=0.6,
        teacher_shares={"rte": 0.2},
    )  # fmt: skip
    pairs = [pair("snli", "refuted"), pair("snli"), pair("rte"), pair("cb"), pair("snli", "unlabeled")]
    assert [config.repeats_of(pair) for pair in pairs] == [2.5, 0.5, 3.0, 1.0, 1.0]
    assert [config.teacher_share_of(pair) for pair in pairs] == [0.6, 0.6, 0.2, 0.6, 1.0]


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_dropout_is_that_of_the_settings_and_never_in_attention(share):
    model, _ = train._initial(VerifierConfig(dropout=share))
    of = {name: module.p for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout)}
    in_attention = {name for name in of if ".self." in name}
    assert len(in_attention) == 6
    assert {of[name] for name in in_attention} == {0.0}
    assert {of[name] for name in of.keys() - in_attention} == {share}
    # The embeddings are those of the base.
    assert not any(parameter.requires_grad for parameter in model.encoder.embeddings.parameters())
    assert all(parameter.requires_grad for parameter in model.encoder.encoder.parameters())
