"""`halluc.calibrate` and what a GroundedModel does with its calibrator."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import calibration
from calibration import Calibrator, NoThresholdWarning
from halluc import Answer, Generation, GroundedModel, calibrate
from halluc.confidence.calibrate import with_calibrated_confidence
from halluc.errors import InvalidInput
from retrieval import Passage, PassageIndex

PASSAGES = [
    Passage("fleming", "Alexander Fleming discovered penicillin in 1928. He worked at a hospital in London.", "Penicillin"),
    Passage("curie", "Marie Curie was born in Warsaw. She won two Nobel Prizes for her work on radioactivity.", "Curie"),
]
QUESTION = "Who discovered penicillin?"


class Oracle:
    """A model whose confidence c in question "… c" is known, and that is right with probability c squared."""

    name = "oracle"
    context_window = None

    def __init__(self, rng):
        self.rng = rng

    def count_tokens(self, prompt):
        return len(str(prompt).split())

    def generate(self, prompts, **_):
        self.prompts = prompts
        sure = [float(str(prompt).split()[-1]) for prompt in prompts]
        return [
            [Generation("It is blue." if self.rng.random() < c**2 else "It is red.", (1,), (math.log(c),))] for c in sure
        ]


def rows(size, seed=0):
    rng = np.random.default_rng(seed)
    return [{"question": f"Which colour? {c:.4f}", "answers": ["Blue", "azure"]} for c in rng.uniform(0.3, 1, size)]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    made = PassageIndex.create(tmp_path_factory.mktemp("calibration") / "x.index")
    made.add(PASSAGES)
    return made


def fixed(threshold, *, source="length_normalised_likelihood"):
    """A calibrator that halves confidence by a binning of one bin, with the threshold given."""
    made = Calibrator(0.3, recalibrator="histogram", source=source)
    confidence = np.random.default_rng(0).uniform(0, 1, 200)
    made.fit(confidence, np.arange(200) % 4 > 0)
    made.rule_.threshold_ = threshold
    return made


def test_confidence_correctness_metrics_and_a_saved_calibrator_come_from_one_call(tmp_path):
    made = calibrate(Oracle(np.random.default_rng(1)), rows(400), risk=0.3, save_to=tmp_path / "c.json")
    asked = [float(row["question"].split()[-1]) for row in rows(400)]
    assert made.confidence == pytest.approx(asked)
    assert made.correct.tolist() == [answer.text == "It is blue." for answer in made.answers]
    assert made.answered.all()
    report = made.report
    assert (report.fit_count, report.threshold_count, report.report_count) == (160, 120, 120)
    chosen = next(row for row in report.after if row.name == report.chosen)
    assert chosen.ece < report.before.ece
    assert report.operation.held
    read = calibration.load(tmp_path / "c.json")
    assert read.source == "length_normalised_likelihood"
    assert read.threshold == made.calibrator.threshold
    assert read.transform(asked).tolist() == made.calibrator.transform(asked).tolist()
    told = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert told["rows"][0]["question"] == rows(400)[0]["question"]


def test_empty_answers_are_abstentions_and_take_no_part():
    class Silent(Oracle):
        def generate(self, prompts, **options):
            made = super().generate(prompts, **options)
            return [[Generation(" ")] if i % 4 == 0 else own for i, own in enumerate(made)]

    made = calibrate(Silent(np.random.default_rng(1)), rows(80), risk=0.6)
    assert made.answered.sum() == len(made.confidence) == len(made.correct) == 60
    assert made.answers[0].abstained
    assert "empty answer" in made.answers[0].reason


def test_a_prompt_of_ones_own_is_what_the_model_is_sent():
    oracle = Oracle(np.random.default_rng(1))
    calibrate(oracle, rows(40), risk=0.8, prompt="Briefly: {}".format)
    assert oracle.prompts[0] == f"Briefly: {rows(1)[0]['question']}"


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], "there are no questions"),
        ([{"question": "q"}], "question row 0 has no answers"),
        ([{"question": "q", "answers": ["x"]}, {"answers": ["x"]}], "question row 1 has no question"),
        (["q"], "question row 0 is no mapping"),
        ([{"question": " ", "answers": ["x"]}], "question row 0 has the question ' '"),
        ([{"question": "q", "answers": "blue"}], "question row 0 has the answers 'blue'; pass a list"),
        ([{"question": "q", "answers": []}], "pass a list of accepted answers"),
        ([{"question": "q 0.5", "answers": ["x"]}] * 9, "9 of 9 questions were answered; calibrate on at least 10"),
    ],
)
def test_rows_that_cannot_be_used_are_named(questions, message):
    with pytest.raises(InvalidInput, match=message):
        calibrate(Oracle(np.random.default_rng(0)), questions)


def test_a_source_that_the_model_cannot_give_is_refused_before_anything_is_asked(lm, index):
    with pytest.raises(InvalidInput, match="the confidence source is 'vibes'"):
        calibrate(None, rows(20), source="vibes")
    with pytest.raises(InvalidInput, match="verifier_support needs a GroundedModel with a verifier"):
        calibrate(GroundedModel(lm, index), rows(20), source="verifier_support")
    with pytest.raises(InvalidInput, match="the confidence source is ''"):
        GroundedModel(lm, index, calibrator=fixed(0.5, source=""))
    with pytest.raises(InvalidInput, match="verifier_support needs"):
        GroundedModel(lm, index, calibrator=fixed(0.5, source="verifier_support"))
    with pytest.raises(InvalidInput, match="not fitted"):
        GroundedModel(lm, index, calibrator=Calibrator(source="p_true"))


def test_a_grounded_model_gives_calibrated_confidence_above_the_threshold_and_abstains_below(lm, index):
    plain = GroundedModel(lm, index).ask(QUESTION)
    bold = fixed(0.0)
    answer = GroundedModel(lm, index, calibrator=bold).ask(QUESTION)
    assert answer == replace(plain, confidence=bold.transform([plain.confidence])[0])
    careful = fixed(0.999)
    model = GroundedModel(lm, index, calibrator=careful)
    held_back, far = model.batch([QUESTION, "Which chord follows a dominant seventh?"])
    assert held_back.abstained
    assert held_back.text == ""
    assert held_back.confidence == careful.transform([plain.confidence])[0]
    assert "below 0.999, above which at most 30% of answers are wrong with probability 95%" in held_back.reason
    assert held_back.generation == plain.generation
    # What the model abstained from by itself keeps its own reason.
    assert "no passage is near" in far.reason
    *pieces, last = model.stream(QUESTION)
    assert "".join(pieces).strip() == plain.text
    assert last == held_back


def test_a_calibrator_that_can_promise_nothing_always_abstains_and_says_so():
    with pytest.warns(NoThresholdWarning):
        hopeless = Calibrator(0.01, recalibrator="platt", source="p_true").fit([0.4, 0.6] * 10, [True, False] * 10)
    answer = Answer("q", "text", generation=Generation("text"))
    (made,) = with_calibrated_confidence([answer], hopeless, np.array([1.0]))
    assert made.abstained
    assert "found no threshold above which at most 1% of answers are wrong" in made.reason
    assert with_calibrated_confidence([], hopeless, np.empty(0)) == []
