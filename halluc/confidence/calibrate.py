"""From a model and questions with known answers to a calibrator: `calibrate`.

Not covered: the sources of confidence (sources.py), the arithmetic on arrays (`calibration.calibration_report`), and how
answers are recalibrated (`halluc.answers.with_calibrated_confidence`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from halluc.answers import Answer
from halluc.confidence.sources import Source, estimate_confidence, source_names
from halluc.errors import InvalidInput, leaf_errors_as_ours
from halluc.files import check_output_path
from halluc.grading.correctness import gives_answer
from halluc.grading.matching import normalize_answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import CalibrationReport, Calibrator
    from halluc.models.language_model import LanguageModel, Prompt
    from halluc.verification.verifier import Verifier

__all__ = ["AnswerCalibration", "AnsweringModel", "calibrate", "check_calibrator"]


@runtime_checkable
class AnsweringModel(Protocol):
    """A model that turns questions into answers by itself, such as a `GroundedModel`.

    Attributes:
        lm: the language model inside.
        verifier: judges the claims of its answers; None if they have no verdicts.
        max_new_tokens: longest answer.
    """

    lm: LanguageModel
    verifier: Verifier | None
    max_new_tokens: int

    def uncalibrated(self, questions: Sequence[str]) -> tuple[list[Answer], list[Prompt | None]]:
        """Answer N questions without applying a calibrator.

        Returns:
            (N,) answers and (N,) prompts, None where the language model was not asked.
        """


@dataclass(frozen=True)
class AnswerCalibration:
    """A model's answers, their confidence and correctness, and how to recalibrate the confidence.

    Attributes:
        answers: N answers, one per question; abstentions are among them.
        answered: (N,) False where the model abstained or returned an empty text; those are left out of everything below.
        confidence: (M,) raw confidence of the M answers given, in [0, 1]; (M, S) of S sources.
        correct: (M,) whether they give a reference.
        report: metrics before and after, the chosen recalibrator, and the threshold, measured on held-out answers.
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
        answers = [answer for answer, answered in zip(self.answers, self.answered, strict=True) if answered]
        rows = zip(answers, self.confidence.tolist(), self.correct.tolist(), strict=True)
        return {
            "source": self.calibrator.source,
            "questions": len(self.answers),
            "answered": len(answers),
            "rows": [{"question": a.question, "text": a.text, "confidence": p, "correct": c} for a, p, c in rows],
            "report": self.report.to_dict(),
        }


def calibrate(
    model: LanguageModel | AnsweringModel,
    questions: Sequence[Mapping[str, Any]],
    *,
    source: Source = "length_normalized_likelihood",
    sources: Sequence[Source] | None = None,
    risk: float = 0.1,
    delta: float = 0.05,
    split: tuple[float, float, float] = (0.4, 0.3, 0.3),
    out: str | Path | None = None,
    prompt: Callable[[str], Prompt] | None = None,
    max_new_tokens: int = 48,
    seed: int = 0,
) -> AnswerCalibration:
    """Ask the questions, compare confidence with correctness, recalibrate, and choose an abstention threshold.

    The answers given are split in three: the recalibrator is chosen (by nested cross-validation) and fitted on the first two
    parts, on which the threshold is chosen too (`calibration.Calibrator`), and everything reported is measured on the third.

    Args:
        model: a language model, or a GroundedModel (whose own calibrator, if any, is not applied).
        questions: rows with `question` and `references`, the accepted answers. An answer is correct if it gives one of
            them (`halluc.grading.correctness.gives_answer`). The rows must be like the questions to come.
        source: what the confidence is, one of `halluc.confidence.SOURCES`; "verifier_support" needs a GroundedModel with a
            verifier.
        sources: at least two different sources, used in place of `source`: the calibrator combines them to one confidence,
            which ranks answers better than each does. The threshold is then chosen on answers that the combination was not
            fitted to.
        risk, delta: at most `risk` of the answers given are wrong, with probability 1 - `delta` over the questions of the
            threshold (`calibration.ConformalAbstention`). Both in (0, 1). A NoThresholdWarning is issued if no threshold
            guarantees that.
        split: shares of the answers for the fit, the threshold and the report; they sum to 1.
        out: path to write the calibrator to, as JSON.
        prompt: makes the prompt of a question for a language model; None sends the question itself.
        max_new_tokens: longest answer of a language model. A GroundedModel has its own.
        seed: of the split, the folds and the samples.

    Raises:
        InvalidInput: an option or a row is unusable, the source is unknown or needs what the model lacks, `out` cannot be
            written, or fewer than ten questions were answered. Options and rows are checked before the model is asked.
        ModelResponseError: the model reports no log-probabilities, and the source needs them.
    """
    answering = model if isinstance(model, AnsweringModel) else None
    name = source if sources is None else _joined(sources)
    _check_source(name, answering.verifier if answering else None)
    _check_options(risk, delta, split, seed, out)
    if prompt is not None and (answering or not callable(prompt)):
        fix = "leave it out: a GroundedModel makes its own prompts" if answering else "pass a function of the question"
        raise InvalidInput(f"prompt is {prompt!r}; {fix}")
    texts, references = _read(questions)
    lm: LanguageModel
    if answering:
        lm, max_new_tokens = answering.lm, answering.max_new_tokens
        answers, prompts = answering.uncalibrated(texts)
    else:
        lm = cast("LanguageModel", model)
        answers, prompts = _ask(lm, texts, prompt, max_new_tokens)
    answered = np.array([not answer.abstained for answer in answers])
    given = np.flatnonzero(answered).tolist()
    if len(given) < _FEWEST:
        raise InvalidInput(
            f"{len(given)} of {len(answers)} questions were answered; calibrate on at least {_FEWEST} answers"
        )
    confidence = estimate_confidence(
        name,
        [answers[i] for i in given],
        lm=lm,
        prompts=[asked for asked in (prompts[i] for i in given) if asked is not None],
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    correct = np.array([gives_answer(answers[i].text, references[i]) for i in given])
    with leaf_errors_as_ours():
        from calibration import calibration_report

        report = calibration_report(confidence, correct, risk=risk, delta=delta, split=split, source=name, seed=seed)
        if out is not None:
            report.calibrator.save(out)
    return AnswerCalibration(tuple(answers), answered, confidence, correct, report)


def check_calibrator(calibrator: Calibrator, verifier: Verifier | None) -> None:
    """Check that a calibrator is fitted, and that its source of confidence can be computed again.

    Args:
        calibrator: to be applied.
        verifier: that of the model it is applied to, if any.

    Raises:
        InvalidInput: it is not fitted, or its source is unknown or needs a verifier.
    """
    if not hasattr(calibrator, "rule_"):
        raise InvalidInput("the calibrator is not fitted; make one with halluc.calibrate, or call fit(confidence, correct)")
    _check_source(calibrator.source, verifier)


_FEWEST = 10


def _check_source(source: str, verifier: Verifier | None) -> None:
    if "verifier_support" in source_names(source) and verifier is None:
        raise InvalidInput("verifier_support needs a GroundedModel with a verifier; pass one, or use another source")


def _joined(sources: Sequence[Source]) -> str:
    if isinstance(sources, str) or not isinstance(sources, Sequence) or len(sources) < 2:
        raise InvalidInput(f"sources is {sources!r}; pass a list of at least two, or one as source")
    return "+".join(map(str, sources))


def _check_options(risk: float, delta: float, split: tuple[float, float, float], seed: int, out: str | Path | None) -> None:
    from calibration import Calibrator
    from calibration.calibrator import check_split

    with leaf_errors_as_ours():
        Calibrator(risk, delta, seed=seed).check_parameters()
        check_split(split, parts=3)
    if out is not None:
        check_output_path(out)


def _read(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The questions and the references of rows."""
    if isinstance(rows, (str, bytes, Mapping)):
        raise InvalidInput(f"questions is {str(rows)[:40]!r}; pass a list of rows with 'question' and 'references'")
    questions, references = [], []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput(f"question row {number} is {row!r}; pass rows with 'question' and 'references'")
        if missing := [name for name in ("question", "references") if name not in row]:
            raise InvalidInput(
                f"question row {number} has no {' and no '.join(missing)}; pass rows with 'question' and 'references'"
            )
        question, accepted = row["question"], row["references"]
        if not isinstance(question, str) or not question.strip():
            raise InvalidInput(f"question row {number} has the question {question!r}; pass a text")
        listed = isinstance(accepted, Sequence) and not isinstance(accepted, str)
        if not listed or not all(isinstance(text, str) for text in accepted) or not any(map(normalize_answer, accepted)):
            raise InvalidInput(f"question row {number} has the references {accepted!r}; pass a list of accepted answers")
        questions.append(question)
        references.append(list(accepted))
    if not questions:
        raise InvalidInput(f"there are no questions; pass at least {_FEWEST}")
    return questions, references


def _ask(
    lm: LanguageModel, questions: Sequence[str], prompt: Callable[[str], Prompt] | None, max_new_tokens: int
) -> tuple[list[Answer], list[Prompt | None]]:
    """Greedy answers (N,) of a bare language model, and the prompts (N,) it was sent."""
    prompts: list[Prompt] = [question if prompt is None else prompt(question) for question in questions]
    completions = lm.generate(prompts, max_new_tokens=max_new_tokens)
    answers = []
    for question, (generation, *_) in zip(questions, completions, strict=True):
        text = generation.text.strip()
        reason = "" if text else "the model returned an empty answer"
        answers.append(Answer(question, text, generation=generation, abstained=not text, reason=reason))
    return answers, list(prompts)
