"""From a model and questions with known answers to a calibrator: `calibrate`, and how a model uses what it made.

Not here: the confidences (confidence/), the arithmetic on arrays (calibration.report.report, calibration.calibrator).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.answers import Answer
from halluc.confidence import SOURCES, Source, estimate_confidence
from halluc.errors import InvalidInput
from halluc.grading.matching import contains_answer, normalize_answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import CalibrationReport, Calibrator
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models.language_model import LanguageModel, Prompt
    from halluc.verification.verifier import Verifier

__all__ = ["AnswerCalibration", "calibrate", "check_calibrator", "with_calibrated_confidence"]


@dataclass(frozen=True)
class AnswerCalibration:
    """What a model answered, how sure it was, how right, and what to make of its confidence.

    Attributes:
        answers: N, one a question, as the model gave them; abstentions are among them.
        answered: (N,) False where the model abstained by itself or said nothing; those take no part in the rest.
        confidence: (M,) raw confidence of the M answers given, in [0, 1].
        correct: (M,) whether an accepted answer stands in them.
        report: metrics before and after, the choice of the recalibrator, and the threshold at work, on rows apart.
    """

    answers: tuple[Answer, ...]
    answered: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    report: CalibrationReport

    @property
    def calibrator(self) -> Calibrator:
        """The recalibrator and threshold, ready for `GroundedModel(..., calibrator=...)` and for `save`."""
        return self.report.calibrator

    def to_dict(self) -> dict[str, Any]:
        """Plain values: rows of question, text, confidence and correctness, and the report."""
        given = [answer for answer, kept in zip(self.answers, self.answered, strict=True) if kept]
        rows = zip(given, self.confidence.tolist(), self.correct.tolist(), strict=True)
        return {
            "source": self.calibrator.source,
            "questions": len(self.answers),
            "answered": len(given),
            "rows": [{"question": a.question, "text": a.text, "confidence": p, "correct": c} for a, p, c in rows],
            "report": self.report.to_dict(),
        }


def calibrate(
    model: LanguageModel | GroundedModel,
    questions: Sequence[Mapping[str, Any]],
    *,
    source: Source = "length_normalised_likelihood",
    risk: float = 0.1,
    delta: float = 0.05,
    shares: tuple[float, float, float] = (0.4, 0.3, 0.3),
    save_to: str | Path | None = None,
    prompt: Callable[[str], Prompt] | None = None,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> AnswerCalibration:
    """Ask the questions, compare confidence with correctness, recalibrate, and choose an abstention threshold.

    The answers given are split in three: the recalibrator is chosen (by nested cross-validation) and fitted on the first
    part, the threshold is chosen on the second, and everything reported is measured on the third.

    Args:
        model: a language model, or one wrapped with retrieval (its own calibrator, if it has one, is not applied).
        questions: rows with `question` and `answers`, the accepted answers; an answer is correct when it contains one of
            them as whole words (`halluc.grading.matching.contains_answer`). They must be like the questions to come.
        source: what the confidence is, one of `halluc.confidence.SOURCES`; "verifier_support" needs a GroundedModel with a
            verifier.
        risk, delta: at most `risk` of the answers given are wrong, with probability 1 - `delta` over the questions of the
            threshold (`calibration.ConformalAbstention`). A NoThresholdWarning where none can promise that.
        shares: of the answers for the fit, the threshold and the report.
        save_to: where to write the calibrator, as JSON.
        prompt: what a language model is sent for a question; by default the question itself. A GroundedModel has its own.
        max_new_tokens: longest answer of a language model. A GroundedModel has its own.
        seed: of the split, the folds and the samples.

    Raises:
        InvalidInput: a row cannot be used, the source is unknown or needs what the model lacks, or fewer than ten questions
            were answered.
        ModelResponseError: the model reports no log-probabilities, and the source needs them.
    """
    from calibration import calibration_report
    from halluc.grounding.grounded_model import GroundedModel

    _check_source(source, model.verifier if isinstance(model, GroundedModel) else None)
    asked, accepted = _read(questions)
    lm: LanguageModel
    prompts: list[Prompt | None]
    if isinstance(model, GroundedModel):
        lm, max_new_tokens = model.lm, model.max_new_tokens
        answers, prompts = model.uncalibrated(asked)
    else:
        sent: list[Prompt] = [question if prompt is None else prompt(question) for question in asked]
        lm, prompts = model, list(sent)
        generations = [own[0] for own in lm.generate(sent, max_new_tokens=max_new_tokens)]
        answers = [
            Answer(q, g.text.strip(), generation=g, abstained=not g.text.strip(), reason="" if g.text.strip() else _EMPTY)
            for q, g in zip(asked, generations, strict=True)
        ]
    answered = np.array([not answer.abstained for answer in answers])
    given = [i for i in range(len(answers)) if answered[i]]
    if len(given) < _FEWEST:
        raise InvalidInput(
            f"{len(given)} of {len(answers)} questions were answered; calibrate on at least {_FEWEST} answers"
        )
    confidence = estimate_confidence(
        source,
        [answers[i] for i in given],
        lm=lm,
        prompts=[own for own in (prompts[i] for i in given) if own is not None],
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    correct = np.array([contains_answer(answers[i].text, accepted[i]) for i in given])
    report = calibration_report(confidence, correct, risk=risk, delta=delta, shares=shares, source=source, seed=seed)
    if save_to is not None:
        report.calibrator.save(save_to)
    return AnswerCalibration(tuple(answers), answered, confidence, correct, report)


def check_calibrator(calibrator: Calibrator, verifier: Verifier | None) -> None:
    """InvalidInput unless the calibrator is fitted, and what its confidence is can be asked for again."""
    if not hasattr(calibrator, "rule_"):
        raise InvalidInput("the calibrator is not fitted; make one with halluc.calibrate, or call fit(confidence, correct)")
    _check_source(calibrator.source, verifier)


def with_calibrated_confidence(answers: Sequence[Answer], calibrator: Calibrator, raw: NDArray[np.float64]) -> list[Answer]:
    """Answers (N,) with calibrated in place of raw (N,) confidence; those below the threshold become abstentions.

    An abstention keeps its calibrated confidence and its verdicts, and the text it held back in `generation`.
    """
    if not answers:
        return []
    calibrated = calibrator.transform(raw).tolist()
    promise = f"at most {calibrator.risk:.0%} of answers are wrong with probability {1 - calibrator.delta:.0%}"
    made = []
    for answer, confidence in zip(answers, calibrated, strict=True):
        if confidence >= calibrator.threshold:
            made.append(replace(answer, confidence=confidence))
            continue
        reason = f"the calibrated confidence {confidence:.3g} is below {calibrator.threshold:.3g}, above which {promise}"
        if not calibrator.rule_.feasible:
            reason = f"the calibrator found no threshold above which {promise}"
        held_back = replace(answer, text="", citations=(), abstained=True, reason=reason)
        made.append(replace(held_back, confidence=confidence))
    return made


_EMPTY = "the model returned an empty answer"
_FEWEST = 10


def _check_source(source: str, verifier: Verifier | None) -> None:
    if source not in SOURCES:
        raise InvalidInput(f"the confidence source is {source!r}; it must be one of {', '.join(SOURCES)}")
    if source == "verifier_support" and verifier is None:
        raise InvalidInput("verifier_support needs a GroundedModel with a verifier; pass one, or use another source")


def _read(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    asked, accepted = [], []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or (missing := [name for name in ("question", "answers") if name not in row]):
            lacking = "is no mapping" if not isinstance(row, Mapping) else f"has no {' and no '.join(missing)}"
            raise InvalidInput(f"question row {number} {lacking}; pass rows with 'question' and 'answers'")
        question, answers = row["question"], row["answers"]
        if not isinstance(question, str) or not question.strip():
            raise InvalidInput(f"question row {number} has the question {question!r}; pass a text")
        texts = not isinstance(answers, str) and isinstance(answers, Sequence) and all(isinstance(a, str) for a in answers)
        if not texts or not any(normalize_answer(answer) for answer in answers):
            raise InvalidInput(f"question row {number} has the answers {answers!r}; pass a list of accepted answers")
        asked.append(question)
        accepted.append(list(answers))
    if not asked:
        raise InvalidInput(f"there are no questions; pass at least {_FEWEST}")
    return asked, accepted
