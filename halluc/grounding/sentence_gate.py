"""What of a growing answer may be shown: its sentences, held back until each is judged.

`SentenceGate` decides, and does no work of its own: who runs it judges the sentences that it returns, in any thread or event
loop. Not covered: the judging (judging.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from halluc.answers import LABEL_NAMES, Claim, Verdict
from halluc.errors import InvalidInput, check_text
from halluc.grounding.judging import complete_length
from retrieval.records import Record

__all__ = ["REPLACEMENT", "CheckedSentence", "OnUnsupported", "SentenceGate", "check_on_unsupported"]

OnUnsupported = Literal["mark", "stop", "replace"]
"""What happens to a sentence that the evidence does not support: it is shown with its label, it and all that would follow is
left out, or a fixed text is shown in its place."""

REPLACEMENT = "[Removed: not supported by the evidence.]"

# Where a sentence may have ended; cheaper than cutting the text into sentences at each piece.
_MAY_END = re.compile(r"""[.!?…。！？:;]["'”’)\]*]*\s|\n|[。！？]""")


@dataclass(frozen=True)
class CheckedSentence(Record):
    """A judged sentence of a streamed answer.

    Attributes:
        text: the sentence as the model wrote it.
        verdicts: one per claim in it; empty if it states nothing.
        supported: whether it was shown as it is.
    """

    text: str
    verdicts: tuple[Verdict, ...]
    supported: bool


class SentenceGate:
    """Holds a streamed text back until its sentences are judged.

    Args:
        on_unsupported: see `OnUnsupported`. None holds back text until `min_support` is known to hold: a sentence without
            claims waits for one with claims, and the first that has less support ends the text.
        min_support: a sentence with a claim of less support is unsupported, in [0, 1].
        replacement: what "replace" shows.

    Attributes:
        text: all that the model wrote.
        shown: what was shown of it, in the form in which it was shown.
        answer_text: `shown` without the labels that "mark" adds.
        verdicts: those of all sentences judged. The claims of a text shown have their place in `answer_text`; those of a
            replaced sentence have the place of the replacement.
        unchecked: claims that were not checked, placed in the same way.
        stopped: whether nothing more will be shown; the generation can end.
    """

    def __init__(
        self, on_unsupported: OnUnsupported | None = None, *, min_support: float = 0.0, replacement: str = REPLACEMENT
    ) -> None:
        check_on_unsupported(on_unsupported)
        check_text("replacement", replacement)
        self.on_unsupported, self.min_support, self.replacement = on_unsupported, min_support, replacement
        self.text = self.shown = self.answer_text = ""
        self.verdicts: tuple[Verdict, ...] = ()
        self.unchecked: tuple[Claim, ...] = ()
        self.stopped = False
        self._begin = 0
        self._held: list[str] = []

    def add(self, piece: str) -> list[tuple[int, int]]:
        """Add text of the model; returns the characters [start, end) of `text` of each sentence that is complete now."""
        from retrieval.split import sentence_spans

        # White space at the beginning is no part of an answer.
        self.text += piece if self.text else piece.lstrip()
        rest = self.text[self._begin :]
        if self.stopped or not _MAY_END.search(rest):
            return []
        starts = [self._begin + start for start, _ in sentence_spans(rest)]
        return self._cut(starts[1:])

    def end(self, finish_reason: str = "stop") -> list[tuple[int, int]]:
        """Note that the text ends; returns its last sentence, if there is one that can be judged.

        A sentence that was cut, which `finish_reason` "length" says, is neither judged nor shown.
        """
        if self.stopped or not self.text[self._begin :].strip():
            return []
        end = complete_length(self.text) if finish_reason == "length" else len(self.text)
        return self._cut([end]) if end > self._begin else []

    def decide(
        self, span: tuple[int, int], verdicts: Sequence[Verdict], unchecked: Sequence[Claim] = ()
    ) -> list[str | CheckedSentence]:
        """Decide what is shown of a sentence, in the order in which `add` and `end` returned them.

        Args:
            span: its characters of `text`.
            verdicts: those of its claims, placed in `text`.
            unchecked: its claims that were not checked.

        Returns:
            Text to show, which may be that of sentences held back before, and the sentence with its verdicts.
        """
        if self.stopped:
            return []
        sentence = self.text[span[0] : span[1]]
        failed = any(self._fails(verdict) for verdict in verdicts)
        before = len(self.answer_text) + sum(map(len, self._held))
        checked = CheckedSentence(sentence.strip(), tuple(verdicts), not failed)
        if failed and self.on_unsupported == "replace":
            place: int | tuple[int, int] = (before, before + len(self.replacement))
        else:
            place = before - span[0]
        self.verdicts += tuple(replace(v, claim=_moved(v.claim, place)) for v in verdicts)
        self.unchecked += tuple(_moved(claim, place) for claim in unchecked)
        if not failed:
            self._held.append(sentence)
            # A support that is required is not known yet as long as nothing was checked.
            wait = self.on_unsupported is None and self.min_support > 0 and not self.verdicts
            return [checked] if wait else [*self._show(), checked]
        if self.on_unsupported in (None, "stop"):
            self.stopped = True
            self._held.clear()
            return [checked]
        body = sentence.rstrip()
        space = sentence[len(body) :]
        if self.on_unsupported == "replace":
            self._held.append(self.replacement + space)
            return [*self._show(), checked]
        shown = f"{body} [{self._label(verdicts)}]{space}"
        self.shown += shown
        self.answer_text += sentence
        return [shown, checked]

    # -- private ---------------------------------------------------------------------------------------------------

    def _cut(self, ends: Sequence[int]) -> list[tuple[int, int]]:
        spans = []
        for end in ends:
            spans.append((self._begin, end))
            self._begin = end
        return spans

    def _fails(self, verdict: Verdict) -> bool:
        if verdict.support < self.min_support:
            return True
        return self.on_unsupported is not None and verdict.label != "supported"

    def _show(self) -> list[str]:
        shown, self._held = "".join(self._held), []
        self.shown += shown
        self.answer_text += shown
        return [shown] if shown else []

    def _label(self, verdicts: Sequence[Verdict]) -> str:
        refuted = any(verdict.label == "refuted" for verdict in verdicts)
        return LABEL_NAMES["refuted" if refuted else "not_enough_info"]


def check_on_unsupported(value: object) -> None:
    """Check a value of `OnUnsupported`, or None.

    Raises:
        InvalidInput: it is neither.
    """
    if value is not None and value not in get_args(OnUnsupported):
        raise InvalidInput(f"on_unsupported is {value!r}; pass 'mark', 'stop', 'replace' or None")


def _moved(claim: Claim, place: int | tuple[int, int]) -> Claim:
    """The claim at another place: moved by a distance, or at given characters."""
    start, end = (claim.start + place, claim.end + place) if isinstance(place, int) else place
    return replace(claim, start=start, end=end)
