"""The result of a chain of verification: `VerifiedAnswer`, an `Answer` with its draft, its checks and every step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from halluc.answers import Answer
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.answers import Evidence, Label
    from halluc.cove.parsing import Consistency
    from halluc.models.language_model import Prompt
    from retrieval import Hit

__all__ = ["Call", "Check", "Source", "Step", "Variant", "VerifiedAnswer"]

Variant: TypeAlias = Literal["joint", "two-step", "factored", "factor+revise"]
"""How the verification questions are answered; see `ChainOfVerification`."""

Source: TypeAlias = Literal["model", "retrieval", "verifier"]
"""What answers the verification questions."""


@dataclass(frozen=True)
class Call:
    """One call of the model.

    Attributes:
        prompt: the prompt.
        text: what the model wrote.
        prompt_tokens, new_tokens: tokens read and written.
        exact: whether these numbers are exact; for a model without a tokenizer in this process they are upper estimates
            (`LanguageModel.count_tokens`).
    """

    prompt: Prompt
    text: str
    prompt_tokens: int
    new_tokens: int
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        prompt = self.prompt if isinstance(self.prompt, str) else [dict(message) for message in self.prompt]
        return {**asdict(self), "prompt": prompt}


@dataclass(frozen=True)
class Step:
    """One step of the chain.

    Attributes:
        name: "baseline", "plan", "execute", "plan and execute" (the joint variant), "cross-check" or "revise".
        source: what carried it out.
        calls: the model calls, in order; none if the verifier carried it out.
        read: what was parsed from them: the questions, the answers, the judgments, or the text.
    """

    name: str
    source: Source
    calls: tuple[Call, ...]
    read: tuple[str, ...]

    @property
    def prompt_tokens(self) -> int:
        """Number of tokens in all its prompts."""
        return sum(call.prompt_tokens for call in self.calls)

    @property
    def new_tokens(self) -> int:
        """Number of tokens generated in all its calls."""
        return sum(call.new_tokens for call in self.calls)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name,
            "source": self.source,
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "read": list(self.read),
            "calls": [call.to_dict() for call in self.calls],
        }


@dataclass(frozen=True)
class Check(Record):
    """One verification question or, with a verifier, one claim.

    Attributes:
        question: the question.
        answer: the source's answer; empty where there is none.
        consistency: how the answer agrees with the draft; None if they were not compared, or the judgment is unreadable.
        label, support: the verifier's verdict on the claim; None for other sources.
        hits: the passages it was answered from, where an index answers.
        evidence: what decides the verifier's verdict.
    """

    question: str
    answer: str
    consistency: Consistency | None = None
    label: Label | None = None
    support: float | None = None
    hits: tuple[Hit, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class VerifiedAnswer(Answer):
    """The final answer of a chain of verification.

    Attributes:
        draft: the baseline answer.
        checks: the verification questions with their answers.
        trace: every step taken, in order.
        variant: the variant of the chain.
        stopped: why the chain ended before its revision; empty if it did not.
    """

    draft: str = ""
    checks: tuple[Check, ...] = ()
    trace: tuple[Step, ...] = ()
    variant: str = ""
    stopped: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            **super().to_dict(),
            "draft": self.draft,
            "checks": [check.to_dict() for check in self.checks],
            "trace": [step.to_dict() for step in self.trace],
            "variant": self.variant,
            "stopped": self.stopped,
            "prompt_tokens": sum(step.prompt_tokens for step in self.trace),
            "new_tokens": sum(step.new_tokens for step in self.trace),
        }
