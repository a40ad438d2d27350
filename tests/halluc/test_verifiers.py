"""The packaged verifier, and others behind the same protocol."""

import json
import shutil

import numpy as np
import pytest

from halluc.errors import InvalidInput, ModelUnavailable, VerifierMismatch
from halluc.verification import _PACKAGED, load_verifier
from halluc.verification.cross_encoder import load_cross_encoder
from halluc.verification.verifier import Verifier
from halluc.verification.weights import new_cross_encoder, read_weights, save_weights

EVIDENCE = "Marie Curie was born in Warsaw in 1867. She won the Nobel Prize in Physics in 1903 with her husband Pierre."
SUPPORTED = [
    "Marie Curie was born in Warsaw.",
    "She won the Nobel Prize in Physics in 1903.",
    "Marie Curie was born in 1867.",
]
UNSUPPORTED = [
    "Marie Curie was born in Paris.",
    "She won the Nobel Prize in Physics in 1921.",
    "Ants build nests of leaves.",
]


@pytest.fixture(scope="module")
def verifier():
    return load_verifier()


@pytest.fixture(scope="module")
def as_hub_model(tmp_path_factory):
    """The packaged verifier as a folder that transformers writes, with its labels in another order."""
    import torch

    folder = tmp_path_factory.mktemp("hub")
    trained = read_weights(_PACKAGED)
    order = torch.tensor([2, 0, 1])
    trained.model.classifier.weight.data = trained.model.classifier.weight.data[order]
    trained.model.classifier.bias.data = trained.model.classifier.bias.data[order]
    trained.model.config.id2label = {0: "neutral", 1: "entailment", 2: "contradiction"}
    trained.model.save_pretrained(folder)
    trained.tokenizer.save_pretrained(folder)
    return folder


def test_it_distinguishes_supported_claims_from_others(verifier):
    assert isinstance(verifier, Verifier)
    support = verifier.support([(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED])
    assert support.shape == (6,)
    assert (support[:3] >= 0.5).all(), support
    assert (support[3:] < 0.5).all(), support


def test_probabilities_are_rows_of_three_that_agree_with_support_and_labels(verifier):
    pairs = [(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED]
    table = verifier.probabilities(pairs)
    assert table.shape == (6, 3)
    assert table.sum(1) == pytest.approx(np.ones(6))
    assert ((table >= 0) & (table <= 1)).all()
    assert table[:, 0].tolist() == verifier.support(pairs).tolist()
    assert verifier.support([]).shape == (0,)


def test_a_pair_is_judged_alike_alone_in_a_batch_and_repeated(verifier):
    pairs = [(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED] + [("Rain fell. " * 60, "It was dry.")]
    together = verifier.support(pairs * 2)
    assert together[:7].tolist() == together[7:].tolist()
    alone = np.concatenate([verifier.support([pair]) for pair in pairs])
    assert together[:7] == pytest.approx(alone, abs=0.02)


def test_a_sentence_is_found_anywhere_in_evidence_of_100_000_words(verifier):
    filler = "The committee met again and spoke at length about the budget of the coming year. " * 6250
    half = len(filler) // 2 // 81 * 81
    evidence = f"{filler[:half]}The bridge over the Tamar was opened in 1859. {filler[half:]}"
    assert len(evidence.split()) > 90_000
    supported, other = verifier.support(
        [
            (evidence, "The bridge over the Tamar was opened in 1859."),
            (evidence, "The bridge over the Tamar was closed in 1972."),
        ]
    )
    assert supported >= 0.5 > other


def test_letters_that_the_tokenizer_splits_still_fit(verifier):
    evidence = "대한민국 수도는 서울 " * 16
    units, _ = verifier._units([(evidence, "word " * 300)])
    assert max(verifier._lengths([unit for unit, _ in units])) <= verifier.max_tokens
    assert verifier.support([(evidence, "word " * 300)]).shape == (1,)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("", "claim"), "the evidence of pair 1 is empty"),
        (("evidence", " \n"), "the claim of pair 1 is empty"),
        ((b"evidence", "claim"), r"pair 1 is \(bytes, str\), not \(evidence, claim\)"),
        (("evidence", None), r"pair 1 is \(str, NoneType\)"),
        (("one",), r"pair 1 is \(str\)"),
        ("ab", r"pair 1 is \(str\)"),
        (("evidence", "word " * 600), "the claim that begins 'word word .* has 600 tokens, more than the 317"),
    ],
)
def test_a_pair_that_cannot_be_judged_is_named(verifier, pair, message):
    with pytest.raises(InvalidInput, match=message):
        verifier.support([(EVIDENCE, SUPPORTED[0]), pair])


def test_any_nli_cross_encoder_is_a_verifier(verifier, as_hub_model):
    other = load_verifier(as_hub_model, max_tokens=192)
    assert other.columns == (1, 2, 0)
    pairs = [(EVIDENCE, claim) for claim in SUPPORTED + UNSUPPORTED]
    raw = verifier.calibrator.transform(other.support(pairs))
    assert raw == pytest.approx(verifier.support(pairs), abs=0.02)


def test_a_model_with_one_logit_gives_its_sigmoid(as_hub_model, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(as_hub_model)
    model.classifier = torch.nn.Linear(384, 1)
    model.config.id2label = {0: "LABEL_0"}
    model.num_labels = 1
    model.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(as_hub_model)
    tokenizer.save_pretrained(tmp_path)
    table = load_verifier(str(tmp_path)).probabilities([(EVIDENCE, SUPPORTED[0])])
    with torch.no_grad():
        logit = model(**tokenizer(EVIDENCE, SUPPORTED[0], return_tensors="pt")).logits.item()
    expected = 1 / (1 + np.exp(-logit))
    assert table[0] == pytest.approx([expected, 0, 1 - expected], abs=0.02)


def test_labels_that_say_nothing_are_refused_unless_columns_are_passed(as_hub_model, tmp_path):
    shutil.copytree(as_hub_model, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["id2label"] = {"0": "A", "1": "B", "2": "C"}
    config["label2id"] = {"A": 0, "B": 1, "C": 2}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput, match=r"'A', 'B', 'C', do not say which means support; pass columns="):
        load_verifier(str(tmp_path / "m"))
    assert load_verifier(str(tmp_path / "m"), columns=(1, 2, 0)).columns == (1, 2, 0)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", InvalidInput, "the verifier is ''"),
        (None, InvalidInput, "the verifier is None"),
        ("no/such-model", ModelUnavailable, "the verifier 'no/such-model' cannot be loaded"),
    ],
)
def test_a_verifier_that_does_not_exist_is_named(name, error, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(error, match=message):
        load_verifier(name)


def test_the_default_verifier_is_loaded_once_per_process(verifier):
    # A bare halluc.check(...) loaded it anew at each call.
    assert load_verifier() is load_verifier("default") is verifier
    other = load_verifier(batch_tokens=100)
    assert other is not verifier
    assert other.fingerprint == verifier.fingerprint


def test_the_fingerprint_covers_all_that_decides_a_probability(verifier):
    import copy

    variants = [load_verifier(max_tokens=100), load_verifier(columns=(0, 2, 1))]
    uncalibrated, retrained = load_verifier(batch_tokens=1), load_verifier(batch_tokens=1)
    uncalibrated.calibrator = None
    retrained.model = copy.deepcopy(retrained.model)
    retrained.model.classifier.bias.data[0] += 0.01
    prints = {v.fingerprint for v in (verifier, *variants, uncalibrated, retrained)}
    assert len(prints) == 5


def test_an_option_of_another_verifier_is_refused(lm):
    with pytest.raises(InvalidInput, match="max_tokens is an option of cross-encoders"):
        load_verifier("lm", lm=lm, max_tokens=3)
    with pytest.raises(InvalidInput, match="lm goes with the verifier 'lm'"):
        load_verifier("default", lm=lm)
    with pytest.raises(InvalidInput, match="max_tokens is 510, which leaves no room for a claim"):
        load_verifier(max_tokens=510)
    with pytest.raises(InvalidInput, match="max_tokens is 0; read at least one token"):
        load_verifier(max_tokens=0)
    for columns in ((0, 3), (1, 1), (-1,), (0, 1, 2, 0)):
        with pytest.raises(InvalidInput, match="has the logits 0 to 2"):
            load_verifier(columns=columns)


def test_weights_are_read_back_as_they_were_saved(tmp_path):
    model, _ = new_cross_encoder()
    save_weights(tmp_path / "v", model, base=None, max_tokens=64, calibrator=None, facts={"pairs": 0})
    trained = read_weights(tmp_path / "v")
    assert (trained.max_tokens, trained.calibrator, trained.facts) == (64, None, {"pairs": 0})
    assert trained.model.classifier.weight.detach().numpy() == pytest.approx(
        model.classifier.weight.detach().numpy(), abs=1e-4
    )
    assert load_cross_encoder(tmp_path / "v").max_tokens == 64


def test_weights_on_another_base_are_refused(tmp_path):
    from retrieval.encoders import encoder_folder

    model, _ = new_cross_encoder()
    save_weights(tmp_path / "v", model, base=None, max_tokens=64, calibrator=None, facts={})
    shutil.copytree(encoder_folder(), tmp_path / "base")
    with (tmp_path / "base" / "model.safetensors").open("r+b") as file:
        header = int.from_bytes(file.read(8), "little")
        described = json.loads(file.read(header))
        words = next(value for name, value in described.items() if name.endswith("word_embeddings.weight"))
        file.seek(8 + header + words["data_offsets"][0] + 2)
        file.write(b"\x11\x3c")
    with pytest.raises(VerifierMismatch, match="was trained on all-MiniLM-L6-v2 with fingerprint"):
        read_weights(tmp_path / "v", base=str(tmp_path / "base"))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: (folder / "verifier.json").write_text("{"), ModelUnavailable, "holds no usable verifier"),
        (
            lambda folder: _edit(folder, "format", 99),
            VerifierMismatch,
            "has format 99; this version of halluc reads up to 1",
        ),
        (lambda folder: _edit(folder, "base", "/no/such/base"), ModelUnavailable, "/no/such/base is not a folder"),
        (lambda folder: _edit(folder, "calibrator", {"class": []}), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: _edit(folder, "max_tokens", None), ModelUnavailable, "holds no usable verifier"),
        (lambda folder: _edit(folder, "facts", float("nan")), ModelUnavailable, "holds NaN"),
        (lambda folder: _reshape(folder), VerifierMismatch, "do not fit all-MiniLM-L6-v2"),
    ],
)
def test_damaged_weights_are_named(tmp_path, damage, error, message):
    shutil.copytree(_PACKAGED, tmp_path / "v")
    damage(tmp_path / "v")
    with pytest.raises(error, match=message):
        load_verifier(str(tmp_path / "v"))


def _reshape(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    tensors["classifier.bias"] = tensors["classifier.bias"][:2].clone()
    save_file(tensors, folder / "weights.safetensors")


def _edit(folder, key, value):
    path = folder / "verifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def test_weights_that_cannot_be_written_are_named_and_leave_the_old_ones(tmp_path, monkeypatch):
    shutil.copytree(_PACKAGED, tmp_path / "v")
    model, _ = new_cross_encoder()

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("halluc.verification.weights.write_atomically", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space left"):
        save_weights(tmp_path / "v", model, base=None, max_tokens=64, calibrator=None, facts={})
    assert read_weights(tmp_path / "v").max_tokens == read_weights(_PACKAGED).max_tokens
