"""Revision against evidence: what is edited, what is left, and when nothing is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from test_endpoint import Server, completion

from calibration import Calibrator
from halluc import Answer, revise
from halluc.errors import InvalidInput

BORN = {"Roosevelt": "New York", "Clinton": "Chicago", "Trump": "Queens"}
DRAFT = "Roosevelt was born in New York. Clinton was born in Boston. Trump was born in Queens."
MENDED = "Roosevelt was born in New York. Clinton was born in Chicago. Trump was born in Queens."


class PlacesVerifier:
    """Supports a claim if evidence about the same person names the same place, and refutes it if another."""

    name = "places"

    def probabilities(self, pairs: Any) -> Any:
        rows = []
        for evidence, claim in pairs:
            person = next((name for name in BORN if name in claim and name in evidence), None)
            if person is None:
                rows.append([0.1, 0.1, 0.8])
            else:
                rows.append([0.9, 0.05, 0.05] if BORN[person] in claim else [0.1, 0.8, 0.1])
        return np.array(rows)

    def support(self, pairs: Any) -> Any:
        return self.probabilities(pairs)[:, 0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running = Server()
    running.behavior = lambda body: (200, completion("Corrected sentence: Clinton was born in Chicago."))
    yield running
    running.close()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from retrieval import Passage, PassageIndex

    with PassageIndex.create(tmp_path_factory.mktemp("revision") / "people.index") as made:
        made.add([Passage(name, f"{name} is a politician who was born in {place}.") for name, place in BORN.items()])
        yield made


def revised(server: Server, index: Any, text: str = DRAFT, **options: Any) -> Any:
    return revise([Answer("", text)], server.model(), index, verifier=PlacesVerifier(), **options)[0]


def test_only_the_unsupported_sentence_is_rewritten_from_its_evidence(server: Server, index: Any) -> None:
    answer = revised(server, index)
    assert answer.text == MENDED
    assert answer.draft == DRAFT
    (body,) = server.requests
    prompt = body["messages"][0]["content"]
    assert "Clinton is a politician who was born in Chicago." in prompt
    assert "Sentence: Clinton was born in Boston." in prompt
    assert "Queens" not in prompt
    (edit,) = answer.edits
    assert (edit.outcome, edit.support, edit.revised_support) == ("revised", 0.1, 0.9)
    assert answer.confidence == pytest.approx(0.9)
    assert {verdict.label for verdict in answer.verdicts} == {"supported"}
    json.dumps(answer.to_dict())


def test_an_answer_that_is_supported_costs_no_call(server: Server, index: Any) -> None:
    answer = revised(server, index, MENDED)
    assert answer.text == MENDED
    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "the model wrote nothing"),
        ("Clinton was born in Boston.", "the model changed nothing"),
        ("Clinton was born in Dallas.", "its support is 0.10, after 0.10"),
        ("Clinton was born in Chicago, " + "and that is well known to all, " * 3, "characters away"),
        ("How should I know?", "it claims nothing"),
    ],
)
def test_a_revision_that_is_no_better_is_not_taken(server: Server, index: Any, reply: str, reason: str) -> None:
    server.behavior = lambda body: (200, completion(reply))
    kept = revised(server, index)
    assert kept.text == DRAFT
    assert reason in kept.edits[0].reason
    removed = revised(server, index, on_failure="remove")
    assert removed.text == "Roosevelt was born in New York. Trump was born in Queens."
    assert removed.edits[0].outcome == "removed"


def test_where_nothing_is_left_the_answer_is_an_abstention(server: Server, index: Any) -> None:
    server.behavior = lambda body: (200, completion(""))
    answer = revised(server, index, "Clinton was born in Boston.", on_failure="remove")
    assert answer.abstained
    assert answer.text == ""
    assert answer.draft == "Clinton was born in Boston."
    assert "no sentence" in answer.reason


def test_a_calibrator_makes_low_support_an_abstention(server: Server, index: Any) -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=2000)
    calibrator = Calibrator(risk=0.2, source="verifier_support").fit(confidence, rng.uniform(size=2000) < confidence)
    server.behavior = lambda body: (200, completion(""))
    assert not revised(server, index, MENDED, calibrator=calibrator).abstained
    doubtful = revised(server, index, calibrator=calibrator)
    assert doubtful.abstained
    assert "calibrated confidence" in doubtful.reason
    assert doubtful.draft == DRAFT


def test_abstentions_and_empty_answers_pass_through(server: Server, index: Any) -> None:
    silent = Answer("Who?", "", abstained=True, reason="nothing was retrieved", confidence=0.0)
    (answer,) = revise([silent], server.model(), index, verifier=PlacesVerifier())
    assert (answer.abstained, answer.reason, answer.edits) == (True, "nothing was retrieved", ())
    assert revise([], server.model(), index, verifier=PlacesVerifier()) == []


def test_unusable_options_are_named(server: Server, index: Any) -> None:
    with pytest.raises(InvalidInput, match="on_failure is 'drop'"):
        revised(server, index, on_failure="drop")
    with pytest.raises(InvalidInput, match="source is 'p_true'"):
        revised(server, index, calibrator=Calibrator(source="p_true"))


def test_a_small_model_revises_or_leaves_the_answer(lm: Any, index: Any) -> None:
    (answer,) = revise([Answer("", DRAFT)], lm, index, verifier=PlacesVerifier(), max_new_tokens=16)
    assert answer.text in (DRAFT, DRAFT.replace("Boston", "Chicago"))
    assert len(answer.edits) == 1
