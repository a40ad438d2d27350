"""Whether retrieved passages answer a question: one calibrated probability in every mode of search."""

import json
from importlib.resources import files

import numpy as np
import pytest
from served import ScriptedModel

from halluc import GroundedModel
from halluc.errors import InvalidInput
from halluc.grounding.answerability import DEFAULT_THRESHOLD, answerability, answerability_features
from retrieval import Hit, Passage, PassageIndex

PASSAGES = [
    Passage("fleming", "Alexander Fleming discovered penicillin in 1928. He worked at a hospital in London.", "Penicillin"),
    Passage("curie", "Marie Curie was born in Warsaw. She won two Nobel Prizes.", "Curie"),
    Passage("peru", "Peru has borders with five countries. Its coast is on the Pacific Ocean.", "Peru"),
]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("answerability") / "x.index")
    made.add(PASSAGES)
    return made


def test_the_features_are_similarity_and_the_rare_words_covered_in_a_passage_and_in_a_sentence():
    hits = [
        Hit(Passage("a", "Fleming worked in London. He discovered penicillin."), 1.0, 1, 0.4),
        Hit(Passage("b", "London is big."), 0.5, 2, 0.6),
    ]
    ((similarity, passage, sentence),) = answerability_features(["Fleming discovered penicillin in London?"], [hits])
    assert similarity == pytest.approx(0.6)
    # Of fleming, discover, penicillin (in one passage of two) and london (in both), one passage has all, a sentence two.
    rare, common = np.log(1 + 2 / 1.5), np.log(1 + 2 / 2.5)
    assert passage == pytest.approx(1)
    assert sentence == pytest.approx(max(2 * rare, rare + common) / (3 * rare + common))


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_what_the_passages_answer_is_above_the_threshold_and_what_they_do_not_is_below(index, mode):
    questions = [
        "Who discovered penicillin?",
        "Where was Marie Curie born?",
        "Which chord follows a dominant seventh in Peru?",
    ]
    scores = answerability(questions, index.search(questions, k=3, mode=mode, min_similarity=-1))
    assert min(scores[:2]) >= DEFAULT_THRESHOLD > scores[2]
    assert all(0 <= score <= 1 for score in scores)


def test_without_hits_the_probability_is_zero():
    assert answerability(["why?", "how?"], [[], []]) == [0.0, 0.0]


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_the_model_is_not_asked_when_the_passages_do_not_answer(index, mode):
    """A sparse search that found "Peru" answered any question about it, whatever it asked."""
    model = ScriptedModel("Peru.")
    answer = GroundedModel(model, index, mode=mode).ask("Which chord follows a dominant seventh in Peru?")
    assert answer.abstained
    assert answer.answerability < DEFAULT_THRESHOLD
    assert f"{answer.answerability:.2f}, below {DEFAULT_THRESHOLD:.2f}" in answer.reason
    assert model.prompts == []
    always = GroundedModel(model, index, mode=mode, min_answerability=0)
    assert not always.ask("Which chord follows a dominant seventh in Peru?").abstained


def test_a_threshold_out_of_range_is_named(index):
    with pytest.raises(InvalidInput, match="min_answerability is 2"):
        GroundedModel(ScriptedModel(), index, min_answerability=2)


def test_the_packaged_weights_say_where_they_come_from():
    packaged = json.loads(files("halluc.grounding").joinpath("answerability.json").read_text("utf-8"))
    assert "CLAPNQ" in packaged["origin"]


def test_the_packaged_weights_give_what_scikit_learns_estimator_gives_without_importing_it():
    """Its import took a second of every 'halluc ask'."""
    import subprocess
    import sys

    from calibration import SourceCombination

    code = """
import sys
from halluc.grounding.answerability import answerability
from retrieval import Hit, Passage
print(answerability(["Who led the Panthers?"], [[Hit(Passage("a", "Short led the Panthers."), 1.0, 1, 0.6)]])[0])
assert not {"sklearn", "scipy", "pandas"} & set(sys.modules), set(sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    packaged = json.loads(files("halluc.grounding").joinpath("answerability.json").read_text("utf-8"))
    combination = SourceCombination.from_dict(packaged["combination"])
    hits = [Hit(Passage("a", "Short led the Panthers."), 1.0, 1, 0.6)]
    expected = combination.predict(answerability_features(["Who led the Panthers?"], [hits]))
    assert float(run.stdout) == pytest.approx(float(expected[0]), abs=1e-6)
