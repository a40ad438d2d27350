"""The benchmark of rewards, on a few rows and with a scripted verifier."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from scripted import Scripted

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    specification = importlib.util.spec_from_file_location("rewards_benchmark", BENCHMARKS / "rewards.py")
    module = importlib.util.module_from_spec(specification)
    # Data classes look up their module.
    monkeypatch.setitem(sys.modules, "rewards_benchmark", module)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path):
    people = ["Ada Berg", "Carl Dahl", "Eva Falk"]
    passages = [
        {"id": str(i), "text": f"The bridge of town {i} was built by {people[i]}. It was opened in the year {1900 + i}."}
        for i in range(3)
    ]
    questions = [
        row
        for i in range(3)
        for row in (
            {"question": f"Who built the bridge of town {i}?", "answers": [people[i]], "passage_id": str(i)},
            {"question": f"When was the bridge of town {i} opened?", "answers": [str(1900 + i)], "passage_id": str(i)},
        )
    ]
    bump = [{"evidence": "The team won.", "claim": f"The team {word}.", "label": label} for word, label in
            (("won", "supported"), ("lost", "refuted"))]  # fmt: skip
    for name, rows in (("xquad/passages", passages), ("xquad/questions", questions), ("bump/pairs", bump)):
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_it_measures_every_kind_and_every_attack(benchmark, data, monkeypatch, capsys):
    class Perfect(Scripted):
        """Supports claims whose last word is in the evidence together with all their years and names."""

        def probabilities(self, pairs):
            rows = []
            for evidence, claim in pairs:
                words = [word.strip(".,?") for word in claim.split("?")[-1].split()]
                known = [word for word in words if word[:1].isupper() or word.isdigit()]
                answered = "Who" in claim and any(word[:1].isupper() for word in words if word not in ("It", "The"))
                answered |= "When" in claim and any(word.isdigit() for word in words)
                answered |= "Who" not in claim and "When" not in claim
                right = answered and all(word in evidence for word in known) and "lost" not in claim
                rows.append((0.9, 0.05, 0.05) if right else (0.1, 0.1, 0.8))
            import numpy as np

            return np.array(rows)

    monkeypatch.setattr("halluc.load_verifier", lambda _: Perfect({}))
    benchmark.main(["--data", str(data), "--rows", "3", "--all-documents"])
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    separation = {(f["form"], f["wrong"], f["kind"]): f for f in figures if f["figure"] == "separation"}
    assert {form for form, _, _ in separation} == {"short answer", "sentence", "paragraph"}
    assert separation["short answer", "other span", "ternary"]["auroc"] == 1.0
    assert separation["paragraph", "hallucinated", "binary"]["auroc"] == 1.0
    # What nothing contradicts is paid by the reward that asks only for contradictions.
    assert separation["short answer", "other span", "binary, paper"]["wrong_paid"] == 1.0
    attacks = {(f["kind"], f["attack"]): f for f in figures if f["figure"] == "attack"}
    assert {attack for _, attack in attacks} == set(benchmark.ATTACKS)
    for kind in ("precision", "binary", "ternary", "brier"):
        for attack in ("nothing", "tool message", "tool message last", "tool call", "thought", "unfinished thought"):
            assert attacks[kind, attack]["right"] == 1.0, (kind, attack)
            assert attacks[kind, attack]["paid"] == 0.0, (kind, attack)
    for attack in ("list", "negation", "both ways", "wrong answer"):
        assert attacks["ternary, with references", attack]["right"] == 1.0, attack
