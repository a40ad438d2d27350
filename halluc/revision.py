"""Revise what the evidence does not support, and keep the rest: `revise`.

Research and revision as in RARR (Gao et al. 2023, arXiv 2210.08726): look up evidence for each claim, judge whether it
agrees, edit the sentences it does not agree with, and accept an edit only if it is small and supported. Not covered:
verification by questions (halluc.cove) and the judging of claims (halluc.verification).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Answer, Evidence, Verdict
from halluc.errors import InvalidInput, check_text
from halluc.prompts import escape, passage_block
from halluc.verification.check import check_many
from halluc.verification.judge import answer_support
from retrieval.records import Record

if TYPE_CHECKING:
    from calibration.calibrator import Calibrator
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["Edit", "RevisedAnswer", "revise"]


@dataclass(frozen=True)
class Edit(Record):
    """A sentence of a draft with claims that the evidence does not support, and its revision.

    Attributes:
        sentence: the sentence in the draft.
        revised: the sentence that the model wrote in its place.
        support, revised_support: support of the least supported claim in each, in [0, 1].
        evidence: what the model read to revise it.
        outcome: "revised", "kept" or "removed".
        reason: why the revision was rejected; empty if it was accepted.
    """

    sentence: str
    revised: str
    support: float
    revised_support: float
    evidence: tuple[Evidence, ...]
    outcome: Literal["revised", "kept", "removed"]
    reason: str = ""


@dataclass(frozen=True)
class RevisedAnswer(Answer):
    """An answer after revision; `verdicts` are those of the revised text.

    Attributes:
        draft: the text before revision.
        edits: one per sentence with an unsupported claim, in order.
        confidence: support of the least supported claim, in [0, 1], calibrated if there is a calibrator; 0 for a text
            without claims.
    """

    draft: str = ""
    edits: tuple[Edit, ...] = ()


def revise(
    answers: Sequence[Answer],
    lm: LanguageModel,
    index: PassageStore,
    *,
    verifier: Verifier,
    on_failure: Literal["keep", "remove"] = "keep",
    calibrator: Calibrator | None = None,
    k: int = 3,
    max_new_tokens: int = 64,
) -> list[RevisedAnswer]:
    """Revise answers against the passages of an index, each step in one batch for all of them.

    A revised sentence is accepted if all its claims are supported (0.5 or more), and if its edit distance to the old one is
    at most 50 characters and at most half the answer's length (RARR, section 3.2; a limit below 20 characters, which no
    short answer could meet, counts as 20).

    Args:
        answers: (N,) answers to revise; abstentions and empty answers are returned unchanged. `Answer(question, text)`
            makes one from a text; the question may be "".
        lm: rewrites sentences, greedily.
        index: where evidence is looked up.
        verifier: judges claims before and after.
        on_failure: what to do with a sentence whose revision is rejected.
        calibrator: fitted with the source "verifier_support"; answers whose calibrated confidence is below its threshold
            become abstentions.
        k: passages looked up per claim.
        max_new_tokens: longest revised sentence.

    Returns:
        (N,) revised answers; an abstention if every sentence was removed.

    Raises:
        InvalidInput: an option is out of range, an answer's text cannot be encoded, or the calibrator has another source.
        ContextOverflow: a sentence and its evidence do not fit the model's window.
        RetrievalFailed: the index cannot be searched.
    """
    _check_arguments(answers, verifier, on_failure, calibrator)
    revisable = [i for i, answer in enumerate(answers) if answer.text.strip() and not answer.abstained]
    drafts = [answers[i] for i in revisable]
    verdicts = _judge([answer.text for answer in drafts], [answer.question for answer in drafts], index, verifier, k)
    faults = [fault for n, answer in enumerate(drafts) for fault in _faults(n, answer.text, verdicts[n])]
    proposals = _propose(faults, lm, max_new_tokens)
    written = [i for i, proposal in enumerate(proposals) if proposal]
    questions = [drafts[faults[i].draft].question for i in written]
    judged = _judge([proposals[i] for i in written], questions, index, verifier, k)
    verdicts_of = dict(zip(written, judged, strict=True))
    edits: list[list[tuple[_Fault, Edit]]] = [[] for _ in drafts]
    for i, fault in enumerate(faults):
        edit = _edit(fault, proposals[i], verdicts_of.get(i, ()), len(drafts[fault.draft].text), on_failure)
        edits[fault.draft].append((fault, edit))
    revised = [_apply(draft, edits_of_draft) for draft, edits_of_draft in zip(drafts, edits, strict=True)]
    final = _finish(revised, index, verifier, calibrator, k)
    results = [RevisedAnswer(**_fields(answer), draft=answer.text) for answer in answers]
    for i, revised_answer in zip(revisable, final, strict=True):
        results[i] = revised_answer
    return results


@dataclass(frozen=True)
class _Fault:
    """The sentence at [start, end) of draft number `draft`, which has unsupported claims."""

    draft: int
    start: int
    end: int
    sentence: str
    support: float
    evidence: tuple[Evidence, ...]


def _check_arguments(answers: Sequence[Answer], verifier: Verifier, on_failure: str, calibrator: Calibrator | None) -> None:
    if on_failure not in ("keep", "remove"):
        raise InvalidInput(f"on_failure is {on_failure!r}; pass 'keep' or 'remove'")
    if isinstance(answers, (str, Answer)):
        raise InvalidInput("answers is one answer; pass a list of Answer")
    for i, answer in enumerate(answers):
        check_text(f"the text of answers[{i}]", answer.text, allow_blank=True)
    if calibrator is not None and calibrator.source != "verifier_support":
        raise InvalidInput(
            f"the calibrator's source is {calibrator.source!r}; revised answers have the confidence 'verifier_support', so "
            "pass one made with that source"
        )
    if calibrator is not None:
        from halluc.confidence.calibrate import check_calibrator

        check_calibrator(calibrator, verifier)


def _judge(
    texts: Sequence[str], questions: Sequence[str], index: PassageStore, verifier: Verifier, k: int
) -> list[tuple[Verdict, ...]]:
    if not texts:
        return []
    questions_or_none = [question.strip() or None for question in questions]
    reports = check_many(texts, index=index, verifier=verifier, k=k, questions=questions_or_none)
    return [report.verdicts for report in reports]


def _faults(draft: int, text: str, verdicts: Sequence[Verdict]) -> list[_Fault]:
    from retrieval.split import sentence_spans

    faults = []
    for start, end in sentence_spans(text):
        in_sentence = [verdict for verdict in verdicts if start <= verdict.claim.start < end]
        unsupported = [verdict for verdict in in_sentence if verdict.label != "supported"]
        if unsupported:
            evidence = {item.text: item for verdict in unsupported for item in verdict.evidence}
            support = answer_support(in_sentence)
            faults.append(_Fault(draft, start, end, text[start:end], support, tuple(evidence.values())))
    return faults


def _propose(faults: Sequence[_Fault], lm: LanguageModel, max_new_tokens: int) -> list[str]:
    """The sentence that the model writes in place of each fault; "" where it writes nothing."""
    if not faults:
        return []
    special = getattr(lm, "special_tokens", ())
    completions = lm.generate([_prompt(fault, special) for fault in faults], max_new_tokens=max_new_tokens)
    return [_first_sentence(samples[0].text) for samples in completions]


def _prompt(fault: _Fault, special: Sequence[str]) -> str:
    block = passage_block([evidence.text for evidence in fault.evidence], special)
    return (
        f"Passages:\n{block}\n\nSentence: {escape(fault.sentence, special)}\n\nCorrect the sentence so that it agrees with "
        "the passages. Change as little as you can. Write only the corrected sentence."
    )


_LABEL = re.compile(r"\s*(?:the\s+)?(?:(?:corrected|revised)\s+sentence|sentence)(?:\s+is)?\s*:\s*", re.I)


def _first_sentence(text: str) -> str:
    """The first line that the model wrote, without a label and quotation marks around it."""
    lines = [line for line in _LABEL.sub("", text, count=1).splitlines() if line.strip()]
    return lines[0].strip().strip('"“”').strip() if lines else ""


def _edit(
    fault: _Fault, proposal: str, verdicts: Sequence[Verdict], answer_length: int, on_failure: Literal["keep", "remove"]
) -> Edit:
    from rapidfuzz.distance import Levenshtein

    distance = Levenshtein.distance(fault.sentence, proposal)
    support = answer_support(verdicts)
    limit = max(20, min(50, answer_length // 2))
    if not proposal:
        reason = "the model wrote nothing"
    elif proposal == fault.sentence:
        reason = "the model changed nothing"
    elif distance > limit:
        reason = f"it is {distance} characters away from the sentence, more than {limit}"
    elif not verdicts:
        reason = "it claims nothing"
    elif support < 0.5:
        reason = f"its support is {support:.2f}, after {fault.support:.2f}"
    else:
        reason = ""
    outcome: Literal["revised", "kept", "removed"] = "revised"
    if reason:
        outcome = "kept" if on_failure == "keep" else "removed"
    return Edit(fault.sentence, proposal, fault.support, support, fault.evidence, outcome, reason)


def _apply(answer: Answer, edits: Sequence[tuple[_Fault, Edit]]) -> RevisedAnswer:
    text = answer.text
    for fault, edit in reversed(edits):
        if edit.outcome == "revised":
            text = text[: fault.start] + edit.revised + text[fault.end :]
        elif edit.outcome == "removed":
            text = text[: fault.start] + text[fault.end :].lstrip(" ")
    values = {**_fields(answer), "text": text.strip(), "verdicts": (), "confidence": None}
    return RevisedAnswer(**values, draft=answer.text, edits=tuple(edit for _, edit in edits))


def _fields(answer: Answer) -> dict[str, Any]:
    """The fields of `Answer`, without those that a kind of answer adds."""
    return {field.name: getattr(answer, field.name) for field in fields(Answer)}


def _finish(
    answers: list[RevisedAnswer], index: PassageStore, verifier: Verifier, calibrator: Calibrator | None, k: int
) -> list[RevisedAnswer]:
    """Judge the revised texts, and abstain if nothing is left or if the calibrator's threshold is not met."""
    import numpy as np

    from halluc.answers import with_calibrated_confidence

    written = [i for i, answer in enumerate(answers) if answer.text]
    verdicts = _judge([answers[i].text for i in written], [answers[i].question for i in written], index, verifier, k)
    finished = [
        replace(answer, abstained=True, confidence=0.0, reason="no sentence of the answer is supported")
        for answer in answers
    ]
    for i, verdicts_of_answer in zip(written, verdicts, strict=True):
        finished[i] = replace(answers[i], verdicts=verdicts_of_answer, confidence=answer_support(verdicts_of_answer))
    if calibrator is not None and written:
        raw = np.array([finished[i].confidence or 0.0 for i in written])
        calibrated = with_calibrated_confidence([finished[i] for i in written], calibrator, raw)
        for i, answer in zip(written, calibrated, strict=True):
            finished[i] = answer
    return finished
