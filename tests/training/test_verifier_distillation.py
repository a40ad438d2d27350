"""A student learns what a teacher says about pairs and about the tokens of their claims."""

import json
from dataclasses import replace

import numpy as np
import pytest

from halluc import load_verifier
from halluc.verification.reading import as_read
from halluc.verification.weights import new_pair_encoder, save_weights
from tests.halluc.tiny_verifiers import tiny_tokenizer
from training.verifier.config import VerifierConfig
from training.verifier.distillation import _moved, add_teacher
from training.verifier.encoding import PairCollator, encode
from training.verifier.pairs import Pair
from training.verifier.train import train_verifier

PAIRS = [
    Pair(f"The bridge at Linz opened in {1900 + i}. It is {i + 30} metres long, and blue.", claim, label, "snli", "train")
    for i in range(6)
    for claim, label in (
        (f"The bridge opened in {1950 + i} and is red.", "refuted"),
        (f"The bridge is {i + 30} m long.", "supported"),
    )
]


def rows_of(pairs, tokenizer, excerpts):
    rows = encode(pairs, tokenizer, excerpts)
    add_teacher(rows, pairs, excerpts, [0.5] * len(pairs), load_verifier())
    return rows


def test_a_teacher_of_ours_gives_what_its_network_says_in_use():
    teacher = load_verifier()
    excerpts = [teacher.max_tokens] * len(PAIRS)
    rows = rows_of(PAIRS, teacher.tokenizer, excerpts)
    texts = [(pair.evidence, pair.claim) for pair in PAIRS]
    for row, labels, reading in zip(rows, teacher.network_probabilities(texts), teacher._read(texts), strict=True):
        assert row["teacher"] == pytest.approx(labels, abs=0.02)
        judged = row["token_teacher"].sum(-1) > 0
        # The tokens of the claim, and no others.
        assert judged.sum() == len(reading.tokens)
        assert row["token_teacher"][judged] == pytest.approx(reading.tokens, abs=0.02)
    batch = PairCollator(teacher.tokenizer)(rows)
    assert batch["token_teacher"].shape == (*batch["input_ids"].shape, 3)
    assert batch["teacher_share"].tolist() == [0.5] * len(PAIRS)


def test_tokens_of_another_tokenizer_get_the_mean_over_the_same_characters():
    teacher = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    offsets = [(0, 0), (0, 4), (4, 8), (9, 12)]
    moved = _moved(teacher, offsets, [(0, 0), (0, 8), (9, 10), (10, 12), (20, 22)])
    assert moved.tolist() == [[0, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]


def test_a_student_with_another_tokenizer_can_learn_from_a_teacher_of_ours():
    tokenizer = tiny_tokenizer("bert")
    tokenizer.model_max_length = 512
    for pair, row in zip(PAIRS, rows_of(PAIRS, tokenizer, [64] * len(PAIRS)), strict=True):
        # Tokens of white space alone have no counterpart.
        of_claim = np.array([bool(as_read(pair.claim)[start:end].strip()) for start, end in row["claim_offsets"]])
        judged = row["token_teacher"].sum(-1)
        assert of_claim.any()
        assert judged == pytest.approx(of_claim.astype(float), abs=0.01)


def test_a_verifier_of_another_kind_teaches_pairs_alone():
    class Other:
        name = "other"

        def probabilities(self, pairs):
            return np.full((len(pairs), 3), 1 / 3)

    rows = encode(PAIRS, load_verifier().tokenizer, [64] * len(PAIRS))
    add_teacher(rows, PAIRS, [64] * len(PAIRS), [1.0] * len(PAIRS), Other())
    assert all(row["teacher"] == pytest.approx([1 / 3] * 3) and "token_teacher" not in row for row in rows)


def test_distillation_moves_the_tokens_of_a_student_toward_those_of_the_teacher(tmp_path):
    """The pairs have no spans, so that only the teacher says anything about tokens."""
    (tmp_path / "nli").mkdir()
    labels = {"refuted": "contradiction", "supported": "entailment"}
    lines = [
        {"premise": f"{i}. {pair.evidence}", "hypothesis": pair.claim, "label": labels[pair.label]}
        for i in range(10)
        for pair in PAIRS
    ]
    (tmp_path / "nli" / "snli.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    model, _ = new_pair_encoder(None)
    save_weights(
        tmp_path / "start", model, base=None, max_tokens=64, calibrator=None, span_threshold=0.5, facts={}, packed=False
    )
    settings = VerifierConfig(
        sources=("snli",), start=str(tmp_path / "start"), teacher="default", max_tokens=64, excerpts=(48, 64), epochs=2,
        batch_size=16, learning_rate=1e-3, unlabeled=16, limit=64, frozen_layers=3,
    )  # fmt: skip
    train_verifier(settings, tmp_path, tmp_path / "student")
    train_verifier(replace(settings, span_share=0.0), tmp_path, tmp_path / "of_pairs")
    texts = [(pair.evidence, pair.claim) for pair in PAIRS]
    teacher = [reading.tokens for reading in load_verifier()._read(texts)]

    def distance(name):
        readings = load_verifier(tmp_path / name)._read(texts)
        return np.mean([np.abs(r.tokens - t).mean() for r, t in zip(readings, teacher, strict=True)])

    assert distance("student") < 0.5 * distance("of_pairs")
    assert distance("student") < 0.5 * distance("start")
