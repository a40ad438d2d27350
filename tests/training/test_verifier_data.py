import json
import re

import pytest

from halluc.errors import InvalidInput
from training.verifier.data import Pair, part_of, read_pairs
from training.verifier.train import even_weights


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_rows_become_pairs_with_labels_and_parts(tmp_path):
    rows = [
        {"premise": "Two dogs  run.", "hypothesis": "Dogs run.", "label": "entailment"},
        {"premise": "Two dogs run.", "hypothesis": "Cats run.", "label": "contradiction"},
        {"premise": "Two dogs run.", "hypothesis": "They chase a ball.", "label": "neutral"},
        {"premise": "Two dogs run.", "hypothesis": "Dogs run.", "label": "entailment"},
    ]
    write(tmp_path, "nli/snli.jsonl", rows)
    write(tmp_path, "q2/rows.jsonl", [
        {"knowledge": "Rain fell.", "dodeca_response": "it rained .", "memnet_response": "it snowed .", "dodeca_label": "0",
         "memnet_label": "1"},
    ])  # fmt: skip
    pairs = read_pairs(tmp_path, ["snli", "q2"], seed=0)
    part = part_of("Two dogs run.")
    assert pairs[:3] == [
        Pair("Two dogs run.", "Dogs run.", "supported", "snli", part),
        Pair("Two dogs run.", "Cats run.", "refuted", "snli", part),
        Pair("Two dogs run.", "They chase a ball.", "not_enough_info", "snli", part),
    ]
    assert [(p.claim, p.label) for p in pairs[3:]] == [("it rained .", "supported"), ("it snowed .", "not_supported")]


def test_a_document_is_in_one_part_however_it_is_tokenized_or_continues():
    start = "The Panthers' defense gave up just 308 points, ranking sixth in the league"
    other = "The Panthers ' defense gave up just 308 points , ranking sixth in the league . And more follows here ."
    assert part_of(start + ", while leading.") == part_of(other)
    parts = [part_of(f"document number {i}") for i in range(5000)]
    assert parts.count("train") / 5000 == pytest.approx(0.80, abs=0.02)
    assert parts.count("calibration") / 5000 == pytest.approx(0.08, abs=0.02)


def test_generated_claims_are_the_same_for_the_same_seed(tmp_path):
    rows = [
        {
            "knowledge": f"The castle of Linz was built in {1400 + i}. It has {i + 3} towers. Anna Berg lives there.",
            "question": "When was it built?",
            "right_answer": str(1400 + i),
            "hallucinated_answer": "It was never built at all.",
        }
        for i in range(8)
    ]
    for name in ("qa_one_turn", "qa_multi_turn"):
        write(tmp_path, f"halueval/{name}.jsonl", rows)
    first = read_pairs(tmp_path, ["halueval_qa"], seed=1)
    assert first == read_pairs(tmp_path, ["halueval_qa"], seed=1)
    assert first != read_pairs(tmp_path, ["halueval_qa"], seed=2)
    assert {"When was it built? 1400", "When was it built? It was never built at all."} <= {p.claim for p in first}
    assert all(p.label != "supported" for p in first if not p.claim.endswith(tuple(str(1400 + i) for i in range(8))))


def test_weights_give_each_data_set_and_class_the_same_share():
    pairs = [Pair("e", str(i), "supported", "a", "train") for i in range(3)]
    pairs += [Pair("e", "x", "refuted", "a", "train"), Pair("e", "y", "supported", "b", "train")]
    pairs += [Pair("e", "z", "not_supported", "b", "train")]
    assert even_weights(pairs) == pytest.approx([0.5, 0.5, 0.5, 1.5, 1.5, 1.5])


@pytest.mark.parametrize(
    ("sources", "message"),
    [(["snl"], "there is no data set 'snl'; choose from mnli, snli"), (["snli"], "the data set 'snli' cannot be read")],
)
def test_a_missing_data_set_is_named(tmp_path, sources, message):
    with pytest.raises(InvalidInput, match=message):
        read_pairs(tmp_path, sources, seed=0)


@pytest.mark.parametrize("source", ["climate_fever", "factcheck_gpt", "factor"])
def test_rows_of_one_document_are_in_one_part_though_their_evidence_differs(tmp_path, source):
    """Split by evidence, a claim that was trained on came up again in validation with another sentence."""
    claims = [f"Claim number {i} says that the ice of lake {i} melted." for i in range(30)]
    evidences = [[f"Sentence {j} on lake {i}, number {i * 7 + j} of all." for j in range(5)] for i in range(30)]
    rows = {
        "climate_fever/rows.jsonl": [
            {
                "claim": claim,
                "evidences": [{"article": f"A{i}", "evidence": text, "evidence_label": "SUPPORTS"} for text in texts],
            }
            for i, (claim, texts) in enumerate(zip(claims, evidences, strict=True))
        ],
        "factcheck_gpt/claim_evidence_stance.jsonl": [
            {"claim": claim, "evidence": text, "stance": "refute"}
            for claim, texts in zip(claims, evidences, strict=True)
            for text in texts
        ],
        "factor/news_factor.jsonl": [
            {"full_prefix": claim, "completion": text, **{f"contradiction_{k}": f"{text} Not {k}." for k in range(3)}}
            for claim, texts in zip(claims, evidences, strict=True)
            for text in texts
        ],
        "factor/expert_factor.jsonl": [],
    }
    for name, lines in rows.items():
        write(tmp_path, name, lines)
    pairs = read_pairs(tmp_path, [source], seed=0)
    parts = {}
    for pair in pairs:
        # The number of the lake names the document.
        parts.setdefault(re.search(r"lake (\d+)", pair.evidence)[1], set()).add(pair.part)
    assert len(parts) == 30
    assert all(len(part) == 1 for part in parts.values())
    assert len(set.union(*parts.values())) > 1


def test_a_damaged_row_is_named_by_its_line(tmp_path):
    (tmp_path / "nli").mkdir()
    (tmp_path / "nli" / "snli.jsonl").write_text('{"premise": "x", "hypothesis": "y", "label": "neutral"}\n{')
    with pytest.raises(InvalidInput, match=r"the data set 'snli' cannot be read: line 2 of .*snli\.jsonl is not JSON"):
        read_pairs(tmp_path, ["snli"], seed=0)


@pytest.mark.parametrize(
    ("row", "name"),
    [({"premise": "x", "label": "neutral"}, "hypothesis"), ({"premise": "x", "hypothesis": "y", "label": "maybe"}, "maybe")],
)
def test_a_row_without_a_field_or_with_an_unknown_label_is_an_error_of_ours(tmp_path, row, name):
    write(tmp_path, "nli/snli.jsonl", [row])
    with pytest.raises(InvalidInput, match=f"the data set 'snli' cannot be read: a row has no field .* '{name}'"):
        read_pairs(tmp_path, ["snli"], seed=0)
