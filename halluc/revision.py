"""Revise what the evidence does not support, and keep the rest: `revise`.

Research and revision as in RARR (Gao et al. 2023, arXiv 2210.08726): look evidence up for each claim, see whether it agrees,
edit the sentences it does not agree with, and take an edit only if it is small and better supported. Not here: checking
by questions (cove.py), and how support is measured (checking.py, verifiers/).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from halluc.answers import Answer, Verdict
from halluc.errors import InvalidInput
from halluc.prompts import escape, passage_block
from halluc.verification.check import check_many

if TYPE_CHECKING:
    from calibration.calibrator import Calibrator
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import Hit, PassageIndex

__all__ = ["Edit", "RevisedAnswer", "revise"]


@dataclass(frozen=True)
class Edit:
    """A sentence of a draft with claims that the evidence does not support, and what became of it.

    Attributes:
        sentence: as it stood in the draft.
        revised: what the model made of it.
        support, revised_support: of the least supported claim in each, in [0, 1].
        evidence: what the model read to revise it.
        outcome: "revised", "kept" or "removed".
        reason: why the revision was not taken; empty where it was.
    """

    sentence: str
    revised: str
    support: float
    revised_support: float
    evidence: tuple[Hit, ...]
    outcome: Literal["revised", "kept", "removed"]
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "sentence": self.sentence,
            "revised": self.revised,
            "support": self.support,
            "revised_support": self.revised_support,
            "evidence": [hit.to_dict() for hit in self.evidence],
            "outcome": self.outcome,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class RevisedAnswer(Answer):
    """An answer after revision: `verdicts` are those of its text as it is now.

    Attributes:
        draft: the text before.
        edits: one per sentence with an unsupported claim, in order.
        confidence: support of the least supported claim, in [0, 1], calibrated where a calibrator was given; None for a
            text without claims.
    """

    draft: str = ""
    edits: tuple[Edit, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**super().to_dict(), "draft": self.draft, "edits": [edit.to_dict() for edit in self.edits]}


def revise(
    answers: Sequence[Answer],
    lm: LanguageModel,
    index: PassageIndex,
    *,
    verifier: Verifier,
    otherwise: Literal["keep", "remove"] = "keep",
    calibrator: Calibrator | None = None,
    k: int = 3,
    max_new_tokens: int = 64,
) -> list[RevisedAnswer]:
    """Revise answers against the passages of an index, each step in one batch for all of them.

    A revised sentence is taken if all its claims are supported (0.5 or more), the least of them more than before, and if
    it is within 50 characters and half the answer's length of the old one by edit distance (RARR, section 3.2; a limit
    below 20 characters, which no short answer could meet, counts as 20).

    Args:
        answers: what to revise; abstentions and empty answers are passed through. `Answer(question, text)` makes one of a
            text; the question may be "".
        lm: rewrites sentences, greedily.
        index: where evidence is looked up.
        verifier: judges claims before and after.
        otherwise: what becomes of a sentence with an unsupported claim whose revision is not taken.
        calibrator: fitted with the source "verifier_support"; answers whose calibrated confidence is below its threshold
            become abstentions.
        k: passages looked up per claim.
        max_new_tokens: longest revised sentence.

    Returns:
        (N,) revised answers. Where every sentence was removed, an abstention.

    Raises:
        InvalidInput: an option is out of range, or the calibrator is of another source.
        ContextOverflow: a sentence and its evidence do not fit the model's window.
    """
    if otherwise not in ("keep", "remove"):
        raise InvalidInput(f"otherwise is {otherwise!r}; pass 'keep' or 'remove'")
    if calibrator is not None and calibrator.source != "verifier_support":
        raise InvalidInput(
            f"the calibrator's source is {calibrator.source!r}; revised answers have the confidence 'verifier_support', so "
            "pass one made with that source"
        )
    given = [i for i, answer in enumerate(answers) if answer.text.strip() and not answer.abstained]
    drafts = [answers[i] for i in given]
    verdicts = _judge([answer.text for answer in drafts], [answer.question for answer in drafts], index, verifier, k)
    faults = [fault for n, answer in enumerate(drafts) for fault in _faults(n, answer.text, verdicts[n])]
    special = getattr(lm, "special_tokens", ())
    prompts = [_prompt(fault, special) for fault in faults]
    written = [own[0].text for own in lm.generate(prompts, max_new_tokens=max_new_tokens)] if prompts else []
    proposals = [_sentence(text) for text in written]
    tried = [i for i, proposal in enumerate(proposals) if proposal]
    judged = _judge([proposals[i] for i in tried], [drafts[faults[i].owner].question for i in tried], index, verifier, k)
    support = {i: _least(own) for i, own in zip(tried, judged, strict=True)}
    edits: list[list[tuple[_Fault, Edit]]] = [[] for _ in drafts]
    for i, fault in enumerate(faults):
        edit = _decided(fault, proposals[i], support.get(i), len(drafts[fault.owner].text), otherwise)
        edits[fault.owner].append((fault, edit))
    revised = [_rewritten(answer, own) for answer, own in zip(drafts, edits, strict=True)]
    final = _finished(revised, index, verifier, calibrator, k)
    results = [RevisedAnswer(**_fields(answer), draft=answer.text) for answer in answers]
    for i, answer in zip(given, final, strict=True):
        results[i] = answer
    return results


@dataclass(frozen=True)
class _Fault:
    """The sentence at [start, end) of draft `owner`, which has unsupported claims."""

    owner: int
    start: int
    end: int
    sentence: str
    support: float
    evidence: tuple[Hit, ...]


def _judge(
    texts: Sequence[str], questions: Sequence[str], index: PassageIndex, verifier: Verifier, k: int
) -> list[tuple[Verdict, ...]]:
    if not texts:
        return []
    asked = [question.strip() or None for question in questions]
    return [r.verdicts for r in check_many(texts, index=index, verifier=verifier, k=k, questions=asked)]


def _faults(owner: int, text: str, verdicts: Sequence[Verdict]) -> list[_Fault]:
    from retrieval.sentences import sentence_spans

    faults = []
    for start, end in sentence_spans(text):
        own = [v for v in verdicts if start <= v.claim.start < end]
        wrong = [v for v in own if v.label != "supported"]
        if wrong:
            hits = {hit.passage.text: hit for verdict in wrong for hit in verdict.evidence}
            faults.append(_Fault(owner, start, end, text[start:end], _least(own) or 0.0, tuple(hits.values())))
    return faults


def _least(verdicts: Sequence[Verdict]) -> float | None:
    return min((verdict.support for verdict in verdicts), default=None)


def _prompt(fault: _Fault, special: Sequence[str]) -> str:
    block = passage_block([hit.passage.text for hit in fault.evidence], special)
    return (
        f"Passages:\n{block}\n\nSentence: {escape(fault.sentence, special)}\n\nCorrect the sentence so that it agrees with "
        "the passages. Change as little as you can. Write only the corrected sentence."
    )


_LABEL = re.compile(r"\s*(?:the\s+)?(?:(?:corrected|revised)\s+sentence|sentence)(?:\s+is)?\s*:\s*", re.I)


def _sentence(text: str) -> str:
    """The first line that the model wrote, without a label and quotation marks around it."""
    lines = [line for line in _LABEL.sub("", text, count=1).splitlines() if line.strip()]
    return lines[0].strip().strip('"“”').strip() if lines else ""


def _decided(
    fault: _Fault, proposal: str, support: float | None, answer_length: int, otherwise: Literal["keep", "remove"]
) -> Edit:
    distance = _edit_distance(fault.sentence, proposal)
    limit = max(20, min(50, answer_length // 2))
    if not proposal:
        reason = "the model wrote nothing"
    elif proposal == fault.sentence:
        reason = "the model changed nothing"
    elif distance > limit:
        reason = f"it is {distance} characters away from the sentence, more than {limit}"
    elif support is None:
        reason = "it claims nothing"
    elif support < 0.5 or support <= fault.support:
        reason = f"its support is {support:.2f}, after {fault.support:.2f}"
    else:
        reason = ""
    outcome: Literal["revised", "kept", "removed"] = "revised"
    if reason:
        outcome = "kept" if otherwise == "keep" else "removed"
    return Edit(fault.sentence, proposal, fault.support, support or 0.0, fault.evidence, outcome, reason)


def _rewritten(answer: Answer, edits: Sequence[tuple[_Fault, Edit]]) -> RevisedAnswer:
    text = answer.text
    for fault, edit in reversed(edits):
        if edit.outcome == "revised":
            text = text[: fault.start] + edit.revised + text[fault.end :]
        elif edit.outcome == "removed":
            text = text[: fault.start] + text[fault.end :].lstrip(" ")
    own = {**_fields(answer), "text": text.strip(), "verdicts": (), "confidence": None}
    return RevisedAnswer(**own, draft=answer.text, edits=tuple(edit for _, edit in edits))


def _fields(answer: Answer) -> dict[str, Any]:
    """The fields of `Answer`, without those that a kind of answer adds."""
    return {field.name: getattr(answer, field.name) for field in fields(Answer)}


def _finished(
    answers: list[RevisedAnswer], index: PassageIndex, verifier: Verifier, calibrator: Calibrator | None, k: int
) -> list[RevisedAnswer]:
    """Judge the texts as they are now, and abstain where nothing is left or the calibrator says so."""
    import numpy as np

    from halluc.confidence.calibrate import check_calibrator, with_calibrated_confidence

    written = [i for i, answer in enumerate(answers) if answer.text]
    verdicts = _judge([answers[i].text for i in written], [answers[i].question for i in written], index, verifier, k)
    finished = [
        replace(answer, abstained=True, confidence=0.0, reason="no sentence of the answer is supported")
        for answer in answers
    ]
    for i, own in zip(written, verdicts, strict=True):
        finished[i] = replace(answers[i], verdicts=own, confidence=_least(own))
    if calibrator is not None and written:
        check_calibrator(calibrator, verifier)
        raw = np.array([finished[i].confidence or 0.0 for i in written])
        calibrated = with_calibrated_confidence([finished[i] for i in written], calibrator, raw)
        for i, answer in zip(written, calibrated, strict=True):
            assert isinstance(answer, RevisedAnswer)
            finished[i] = answer
    return finished


def _edit_distance(a: str, b: str) -> int:
    """Levenshtein distance in characters."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
