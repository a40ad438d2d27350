"""What halluc returns about an answer: claims, verdicts, citations and the `Answer` that holds them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from retrieval.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from calibration import Calibrator
    from halluc.models.language_model import Generation
    from retrieval import Hit, Passage

__all__ = [
    "LABEL_NAMES",
    "Answer",
    "Citation",
    "Claim",
    "Evidence",
    "Label",
    "SpanKind",
    "Verdict",
    "cited_text",
    "with_calibrated_confidence",
]

Label = Literal["supported", "refuted", "not_enough_info"]

SpanKind = Literal["conflict", "baseless"]
"""Why characters of an answer are not supported: the evidence says otherwise, or it says nothing about them (RAGTruth, arXiv
2401.00396, section 2)."""

LABEL_NAMES: Mapping[Label, str] = {
    "supported": "supported",
    "refuted": "contradicted",
    "not_enough_info": "not supported by the evidence",
}
"""The labels in the words shown to people."""


@dataclass(frozen=True)
class Claim(Record):
    """A statement that can be checked.

    Attributes:
        text: the statement, to be understood alone: pronouns may be resolved, a subject repeated, a question put in front.
        start, end: the characters [start, end) of the answer that make the statement.
        check_worthy: whether evidence can confirm or deny it; False for questions, refusals, greetings, empty talk.
        hedged: whether the answer says that it may be true rather than that it is ("I think ...").
    """

    text: str
    start: int
    end: int
    check_worthy: bool = True
    hedged: bool = False


@dataclass(frozen=True)
class Evidence:
    """The part of a passage that decides a verdict.

    Attributes:
        passage: the passage that was read. Read back from JSON, its text is only `text`.
        start, end: the characters [start, end) of the passage's text that decide.
        probability: in [0, 1], of the verdict's label given these characters alone; for "not_enough_info", of the two other
            labels together.
        text: those characters.
    """

    passage: Passage
    start: int
    end: int
    probability: float
    text: str = ""

    def __post_init__(self) -> None:
        """Fill in `text`."""
        if not self.text:
            object.__setattr__(self, "text", self.passage.text[self.start : self.end])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; of the passage's text, only the part that decides."""
        return {
            "passage": {**self.passage.to_dict(), "text": self.text},
            "start": self.start,
            "end": self.end,
            "probability": self.probability,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evidence:
        """Rebuild the evidence that `to_dict` described."""
        from retrieval import Passage

        passage = Passage(**values["passage"])
        return cls(passage, values["start"], values["end"], values["probability"], passage.text)


@dataclass(frozen=True)
class Verdict(Record):
    """What the evidence says about a claim (see `halluc.verification.judge` for the rule).

    Attributes:
        claim: what was judged.
        label: "supported", "refuted" or "not_enough_info".
        support: probability in [0, 1] that the evidence supports the claim.
        evidence: what decides; empty if there was nothing to read.
        sources: the ids of the passages to cite for the claim, best first: those that support it, or nearly do. Empty for a
            refuted claim, and for one that no passage comes near to supporting.
    """

    claim: Claim
    label: Label
    support: float
    evidence: tuple[Evidence, ...] = ()
    sources: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verdict:
        """Rebuild the verdict that `to_dict` described."""
        evidence = tuple(Evidence.from_dict(item) for item in values["evidence"])
        sources = tuple(values.get("sources", ()))
        return cls(Claim(**values["claim"]), values["label"], values["support"], evidence, sources)


@dataclass(frozen=True)
class Citation(Record):
    """A passage that an answer draws on.

    Attributes:
        number: the one it had in the prompt; passages that the model did not read are counted on from there.
        passage_id, title, source: of the passage.
        quote: what of it supports the answer, as the verifier found; without that, what the model read of it.
        sentences: the sentences of the answer that it supports, as characters [start, end).
    """

    number: int
    passage_id: str
    title: str | None
    source: str | None
    quote: str
    sentences: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Answer(Record):
    """A grounded answer, or an abstention.

    Attributes:
        text: what the model said; empty when it abstained.
        verdicts: one per claim; empty without a verifier.
        unchecked: the parts of the text that were not judged since they state nothing, or are a last sentence that was cut;
            empty without a verifier.
        confidence: number in [0, 1]. With a calibrator the calibrated probability that the answer is right; without one the
            geometric mean of its token probabilities, or None where the model gives no log-probabilities. 0 when the model
            abstained before any calibrator.
        abstained, reason: whether and why no answer is given.
        hits: the passages retrieved, best first.
        citations: the passages among them that support sentences of the answer, by the verdicts on their claims; without a
            verifier those that the model names, or that share most words with a sentence.
        generation: what the model returned, or None when it was not asked.
        answerability: probability in [0, 1] that the passages retrieved answer the question.
    """

    question: str
    text: str
    verdicts: tuple[Verdict, ...] = ()
    confidence: float | None = None
    abstained: bool = False
    reason: str = ""
    hits: tuple[Hit, ...] = ()
    citations: tuple[Citation, ...] = ()
    generation: Generation | None = None
    unchecked: tuple[Claim, ...] = ()
    answerability: float | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the text ends because it reached `max_new_tokens`."""
        return not self.abstained and self.generation is not None and self.generation.finish_reason == "length"

    @property
    def cited_text(self) -> str:
        """The text with its citations, as `Fleming discovered it [1]. He worked in London [1][3].`: see `cited_text`."""
        return cited_text(self.text, self.citations)


def cited_text(text: str, citations: Sequence[Citation]) -> str:
    """Write the numbers of citations into a text, at the end of each sentence that they support.

    Marks [n] that the text has already are left out, so that all numbers are those of `citations`.

    >>> cited_text("It is long [2]. Yes.", [Citation(1, "a", None, None, "It is long.", ((0, 15),))])
    'It is long [1]. Yes.'
    """
    marks: dict[int, list[int]] = {}
    for citation in citations:
        for _, end in citation.sentences:
            marks.setdefault(end, []).append(citation.number)
    parts = []
    position = 0
    for end in sorted({*marks, len(text)}):
        sentence = _MARK.sub("", text[position:end])
        body = sentence.rstrip()
        closing = _CLOSING.search(body)
        at = closing.start() if closing and end in marks else len(body)
        written = "".join(f"[{number}]" for number in sorted(marks.get(end, [])))
        parts += [body[:at], f" {written}" if written else "", body[at:], sentence[len(body) :]]
        position = end
    return "".join(parts)


# A mark of a citation with the space before it, and what closes a sentence.
_MARK = re.compile(r"[ \t]?\[\d{1,3}\]")
_CLOSING = re.compile(r"""[.!?…。！？]+["'”’)\]*]*$""")

AnswerT = TypeVar("AnswerT", bound=Answer)


def with_calibrated_confidence(
    answers: Sequence[AnswerT], calibrator: Calibrator, raw: NDArray[np.float64]
) -> list[AnswerT]:
    """Replace raw confidence by calibrated confidence, and turn answers below the threshold into abstentions.

    An abstention keeps its calibrated confidence and its verdicts, and in `generation` the text that was withheld.

    Args:
        answers: N answers.
        calibrator: a fitted calibrator.
        raw: (N,) their raw confidence in [0, 1], of the calibrator's source.
    """
    from calibration.estimate import percent

    if not answers:
        return []
    guarantee = f"at most {percent(calibrator.risk)} of answers are wrong with probability {percent(1 - calibrator.delta)}"
    recalibrated = []
    kept = calibrator.answer(raw).tolist()
    for answer, confidence, above in zip(answers, calibrator.transform(raw).tolist(), kept, strict=True):
        if above:
            recalibrated.append(replace(answer, confidence=confidence))
            continue
        reason = f"the calibrated confidence {confidence:.3g} is below {calibrator.threshold:.3g}, above which {guarantee}"
        if not calibrator.rule_.feasible:
            reason = f"the calibrator found no threshold above which {guarantee}"
        recalibrated.append(replace(answer, text="", citations=(), abstained=True, reason=reason, confidence=confidence))
    return recalibrated
