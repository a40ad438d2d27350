import json
import re

import pytest

from halluc.errors import InvalidInput
from training.verifier.config import VerifierConfig
from training.verifier.data_sets import read_pairs
from training.verifier.pairs import ClaimSpan, Pair, changed_spans, part_of, single_spaced
from training.verifier.thresholds import even_weights, span_f1
from training.verifier.train import read_all_pairs


def write(folder, name, rows):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_rows_become_pairs_with_labels_and_parts(tmp_path):
    rows = [
        {"premise": "Two dogs  run.", "hypothesis": "Dogs run.", "label": "entailment"},
        {"premise": "Two dogs run.", "hypothesis": "Cats run.", "label": "contradiction"},
        {"premise": "Two dogs run.", "hypothesis": "They chase a ball.", "label": "neutral"},
        {"premise": "Two dogs run.", "hypothesis": "Cats run.", "label": "contradiction"},
    ]
    write(tmp_path, "nli/snli.jsonl", rows)
    write(tmp_path, "q2/rows.jsonl", [
        {"knowledge": "Rain fell.", "dodeca_response": "it rained .", "memnet_response": "it snowed .", "dodeca_label": "0",
         "memnet_label": "1"},
    ])  # fmt: skip
    pairs = read_pairs(tmp_path, ["snli", "q2"], seed=0)
    part = part_of("Two dogs run.")
    assert pairs[:3] == [
        Pair("Two dogs  run.", "Dogs run.", "supported", "snli", part),
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
    for name in ("qa_one_turn", "qa_multi_turn", "qa_data_train"):
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


def test_spans_move_with_the_words_when_white_space_is_removed():
    text = "  The  old\nbridge   is  red. "
    spans = [ClaimSpan(text.index("old"), text.index("bridge") + 6, "conflict"), ClaimSpan(0, 2)]
    shortened, moved = single_spaced(text, spans)
    assert shortened == "The old bridge is red."
    assert moved == (ClaimSpan(4, 14, "conflict"),)
    assert single_spaced(text) == (shortened, None)


def test_the_words_that_an_edit_changed_are_its_spans():
    original = "The bridge opened in 1987 and is not long."
    edited = "The tunnel opened in 1987 and is long."
    spans = changed_spans(original, edited, "conflict")
    # Of dropped words the word after them is marked.
    assert [edited[span.start : span.end] for span in spans] == ["tunnel", "long."]
    assert {span.kind for span in spans} == {"conflict"}
    assert changed_spans(original, original) == ()


def test_marked_answers_become_sentences_with_their_spans(tmp_path):
    response = "The bridge is long. It opened in 1990. Its engineer was Anna Berg, who liked tea."
    row = {"context": "The bridge is long. It opened in 1987.", "response": response, "task": "qa"}
    spans = [(response.index("1990"), "Evident Conflict"), (response.index("Anna"), "Subtle Baseless Info")]
    row["spans"] = [{"start": start, "end": start + 4, "label_type": kind} for start, kind in spans]
    write(tmp_path, "ragtruth/responses.jsonl", [row])
    pairs = read_pairs(tmp_path, ["ragtruth"], seed=0)
    assert [(pair.claim, pair.label) for pair in pairs] == [
        ("The bridge is long.", "supported"),
        ("It opened in 1990.", "refuted"),
        ("Its engineer was Anna Berg, who liked tea.", "not_enough_info"),
    ]
    assert [[pair.claim[s.start : s.end] for s in pair.spans] for pair in pairs] == [[], ["1990"], ["Anna"]]
    assert [span.kind for pair in pairs for span in pair.spans] == ["conflict", "baseless"]


def test_tokens_that_a_page_does_not_support_are_spans(tmp_path):
    row = {"claim": "The audience is old, ex-pats.", "evidence": "The audience.", "label": "partially_supported"}
    row["claim_tokens"] = ["The", "audience", "is", "old", ",", "ex", "-", "pats", "."]
    row["non_supported_tokens"] = [False, False, False, True, False, True, True, True, False]
    write(tmp_path, "wice/non_supported_tokens.jsonl", [row])
    (pair,) = read_pairs(tmp_path, ["wice_tokens"], seed=0)
    assert [pair.claim[span.start : span.end] for span in pair.spans] == ["old", "ex-pats"]
    assert pair.label == "not_supported"


def test_rows_of_the_common_form_keep_their_labels_and_their_document(tmp_path):
    rows = [
        {"evidence": f"Text {i} on lake {i % 10}.", "claim": f"Claim {i}.", "label": "supported", "doc": str(i % 10)}
        for i in range(40)
    ]
    rows[1]["label"] = "not_supported"
    write(tmp_path, "lfqa/sentences.jsonl", rows)
    pairs = read_pairs(tmp_path, ["lfqa"], seed=0)
    assert [pair.label for pair in pairs[:2]] == ["supported", "not_supported"]
    assert (pairs[0].spans, pairs[1].spans) == ((), None)
    parts = {}
    for i, pair in enumerate(pairs):
        parts.setdefault(i % 10, set()).add(pair.part)
    assert all(len(part) == 1 for part in parts.values())
    write(tmp_path, "lfqa/sentences.jsonl", [{**rows[0], "label": "true"}])
    with pytest.raises(InvalidInput, match=r"the data set 'lfqa' cannot be read: .* unknown label 'true'"):
        read_pairs(tmp_path, ["lfqa"], seed=0)


def test_what_an_edit_changed_in_its_nearest_original_is_marked(tmp_path):
    rows = [
        {"evidence": "Text.", "claim": claim, "label": label, "doc": "1"}
        for claim, label in (
            ("Sales of the firm rose by two percent in May.", "supported"),
            ("The firm hired many people and moved to Graz.", "supported"),
            ("The firm hired few people and moved to Graz.", "not_supported"),
            ("Something else that is entirely new here.", "not_supported"),
        )
    ]
    write(tmp_path, "bump/pairs.jsonl", rows)
    pairs = read_pairs(tmp_path, ["bump"], seed=0)
    assert [pair.claim[s.start : s.end] for pair in pairs[2:3] for s in pair.spans] == ["few"]
    assert pairs[3].spans is None


def test_f1_of_characters_counts_all_texts_together():
    references = [[ClaimSpan(0, 4)], [], [ClaimSpan(2, 6)]]
    assert span_f1(references, [[ClaimSpan(2, 6)], [ClaimSpan(0, 2)], []]) == pytest.approx(2 * 2 / (8 + 6))
    assert span_f1(references, references) == 1
    assert span_f1(references, [[], [], []]) == 0


def test_an_answer_to_another_question_about_the_passage_is_wrong(tmp_path):
    write(tmp_path, "xquad/passages.jsonl", [{"id": "a", "text": "The bridge opened in 1987. Paula Ostrov built it."}])
    write(
        tmp_path,
        "xquad/questions.jsonl",
        [
            {"question": "When did it open?", "answers": ["1987", "in 1987"], "passage_id": "a"},
            {"question": "Who built it?", "answers": ["Paula Ostrov"], "passage_id": "a"},
        ],
    )
    labels = {pair.claim: pair.label for pair in read_pairs(tmp_path, ["xquad"], seed=0)}
    assert (
        labels.items()
        >= {
            "When did it open? 1987": "supported",
            "When did it open? in 1987": "supported",
            "When did it open? Paula Ostrov": "not_supported",
            "Who built it? Paula Ostrov": "supported",
            "Who built it? 1987": "not_supported",
        }.items()
    )
    # Another year than the one that the passage states.
    (other,) = (
        set(labels)
        - {f"When did it open? {answer}" for answer in ("1987", "in 1987", "Paula Ostrov")}
        - {claim for claim in labels if claim.startswith("Who")}
    )
    assert labels[other] == "refuted"
    assert other.removeprefix("When did it open? ").isdigit()


def test_more_seeds_add_made_claims_to_the_training_part_alone(tmp_path):
    rows = [
        {
            "knowledge": f"Castle {i} of Linz was built in {1400 + i}. It has {i + 3} towers. Anna Berg lives there.",
            "question": "When was it built?",
            "right_answer": str(1400 + i),
            "hallucinated_answer": "It was never built at all.",
        }
        for i in range(30)
    ]
    for name in ("qa_one_turn", "qa_multi_turn", "qa_data_train"):
        write(tmp_path, f"halueval/{name}.jsonl", rows)
    one, three = (read_all_pairs(VerifierConfig(sources=("halueval_qa",), claim_seeds=n, seed=4), tmp_path) for n in (1, 3))
    assert one == read_pairs(tmp_path, ["halueval_qa"], seed=4)
    assert three[: len(one)] == one
    added = three[len(one) :]
    assert added
    assert {pair.part for pair in added} == {"train"}
    assert {pair.part for pair in one} > {"train"}
    assert len({(pair.evidence, pair.claim) for pair in three}) == len(three)


def test_changed_facts_in_supported_sentences_of_answers_are_marked(tmp_path):
    context = "The bridge opened in 1987. Paula Ostrov and Anna Berg built it."
    response = "The bridge opened in 1987. It was built by Paula Ostrov. It is very long and blue."
    span = {"start": response.index("It is"), "end": len(response), "label_type": "Evident Baseless Info"}
    write(tmp_path, "ragtruth/responses.jsonl", [{"context": context, "response": response, "spans": [span]}])
    pairs = read_pairs(tmp_path, ["ragtruth_edits"], seed=0)
    assert pairs
    assert all(pair.label != "supported" and pair.spans and "blue" not in pair.claim for pair in pairs)
    assert not {pair.claim for pair in pairs} & set(response.split(". "))
