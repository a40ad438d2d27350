"""`df.halluc.check`."""

import math

import pytest

pytest.importorskip("pandas", reason="the extra pandas is not installed")

import pandas as pd

import halluc.integrations.pandas  # noqa: F401
from halluc import check, load_verifier
from halluc.errors import InvalidInput
from retrieval import Passage, PassageIndex

FACT = "Zebras graze on the savannah of Kenya."


def test_every_row_gets_its_own_report_under_its_label():
    frame = pd.DataFrame(
        {
            "answer": ["Zebras graze in Kenya.", "Zebras do not graze.", "I don't know."],
            "context": [FACT, ["Roses grow.", FACT], (FACT,)],
        },
        index=["a", "b", "c"],
    )
    checked = frame.halluc.check(verifier=load_verifier(), batch_rows=2)
    assert list(checked.index) == ["a", "b", "c"]
    assert checked["supported"].tolist() == [True, False, False]
    assert checked["claims"].tolist() == [1, 1, 0]
    assert checked["unsupported_claims"].tolist() == [0, 1, 0]
    assert math.isnan(checked["score"]["c"])
    assert checked["reason"]["c"]
    alone = check("Zebras graze in Kenya.", context=FACT, verifier=load_verifier())
    assert checked["score"]["a"] == pytest.approx(alone.score, abs=1e-4)
    assert checked["report"]["b"].verdicts[0].evidence[0].passage.id == "context 2"


def test_columns_have_any_names_and_an_index_takes_the_place_of_contexts(tmp_path):
    index = PassageIndex.build(tmp_path / "x.index", [Passage("zebra", FACT)])[0]
    frame = pd.DataFrame({"reply": ["In Kenya."], "asked": ["Where do zebras graze?"]})
    checked = frame.halluc.check("reply", question="asked", index=index, verifier=load_verifier())
    assert checked["report"][0].mode == "factual support"
    assert checked["report"][0].question == "Where do zebras graze?"
    empty = frame.iloc[:0].halluc.check("reply", index=index, verifier=load_verifier())
    assert list(empty.columns) == list(checked.columns)
    assert len(empty) == 0


class Refusing:
    name = "refusing"

    def probabilities(self, _pairs):
        raise AssertionError("a row was checked")

    support = probabilities


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({"answer": ["Zebras graze."]}, {}, "no column 'context'; pass the name of a column as context"),
        ({"answer": ["Zebras graze.", None], "context": [FACT, FACT]}, {}, "row 1 has no text in column 'answer'"),
        ({"answer": ["Zebras graze."], "context": [" "]}, {}, "column 'context' of row 0 is empty"),
        ({"answer": ["Zebras graze."], "context": [math.nan]}, {}, "column 'context' of row 0"),
        ({"answer": ["x."], "context": [FACT], "q": [3]}, {"question": "q"}, "row 0 has 3 in column 'q'"),
        ({"answer": ["x."], "context": [FACT]}, {"batch_rows": 0}, "batch_rows is 0"),
    ],
)
def test_bad_rows_are_named_before_any_is_checked(rows, options, message):
    with pytest.raises(InvalidInput, match=message):
        pd.DataFrame(rows).halluc.check(verifier=Refusing(), **options)
