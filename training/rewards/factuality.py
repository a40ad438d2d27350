"""A factuality reward with TRL's reward-function signature, for `GRPOTrainer(reward_funcs=...)` and `RLOOTrainer`.

The claims of a completion are judged against evidence, retrieved or given, and a kind of reward (reward_kinds.py) makes a
number of it, from which penalties for gaming (reward_guards.py) are taken off. Not here: the sum with other rewards
(composite_reward.py), and the trainers, which are TRL's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from halluc.claims import RuleClaimExtractor
from halluc.errors import InvalidInput
from halluc.grading.matching import contains_answer, normalize_answer
from training.claim_judge import ClaimJudge, ClaimVerdict, make_room
from training.rewards.completions import completion_text, prompt_question, split_confidence
from training.rewards.guards import copied_share, is_hedged, repeated_share
from training.rewards.hacking import GapReport, Measurement, gap_report
from training.rewards.kinds import JudgedClaim, JudgedCompletion, RewardKind, claim_precision

if TYPE_CHECKING:
    from halluc.claims import ClaimExtractor
    from halluc.verification.verifier import Verifier
    from retrieval import PassageIndex

__all__ = ["FactualityReward"]


class FactualityReward:
    """What a completion earns for being true: by default the mean support of its claims, less penalties for gaming it.

    A completion without a claim earns 0 by default, so that saying nothing never pays. Verdicts are kept, so that a claim
    that many completions make is judged once. TRL names the reward by `__name__` in its logs.

    Args:
        verifier: gives the probability that a piece of evidence supports a claim. One that only has `support` refutes
            nothing.
        index: where evidence is looked up; None if every row of the data set brings a `context` or `answers` column.
        k: passages retrieved per claim; the claim's support is the highest that any of them gives it.
        kind: what a judged completion earns (training/rewards/kinds.py); set its parameters with `functools.partial`.
        extractor: cuts completions into claims; by rules if None.
        repetition_penalty: taken off for a completion that repeats itself, times `repeated_share`.
        copy_penalty: taken off for a completion copied from the evidence, times `copied_share`.
        second_verifier: judges as well; where the two differ, the reward is doubtful.
        disagreement_penalty: taken off, times the mean difference of the two verifiers' support, in [0, 1].
        held_out_verifier: judges as well but changes no reward: a support that rises with the first verifier and not with
            this one is not factuality but reward hacking; see `gap_report`.

    Attributes:
        measured: what both verifiers said in each call so far, if one is held out.

    Raises:
        InvalidInput: k is below 1 or a penalty is negative; on a call: there is no evidence, columns are of unequal length,
            or a reward is not finite (the row is named).
    """

    __name__ = "factuality"

    def __init__(
        self,
        verifier: Verifier,
        index: PassageIndex | None = None,
        *,
        k: int = 3,
        kind: RewardKind = claim_precision,
        extractor: ClaimExtractor | None = None,
        repetition_penalty: float = 1.0,
        copy_penalty: float = 1.0,
        second_verifier: Verifier | None = None,
        disagreement_penalty: float = 0.5,
        held_out_verifier: Verifier | None = None,
    ) -> None:
        if k < 1:
            raise InvalidInput(f"k is {k}; retrieve at least 1 passage per claim")
        penalties = {"repetition": repetition_penalty, "copy": copy_penalty, "disagreement": disagreement_penalty}
        for name, value in penalties.items():
            if not value >= 0:
                raise InvalidInput(f"{name}_penalty is {value}; pass 0 or more, it is taken off the reward")
        self.verifier = verifier
        self.index = index
        self.k = k
        self.kind = kind
        self.extractor: ClaimExtractor = extractor or RuleClaimExtractor()
        self.repetition_penalty = repetition_penalty
        self.copy_penalty = copy_penalty
        self.disagreement_penalty = disagreement_penalty
        self._first = ClaimJudge(verifier)
        self._second = ClaimJudge(second_verifier) if second_verifier is not None else None
        self._held_out = ClaimJudge(held_out_verifier) if held_out_verifier is not None else None
        self._found: dict[str, list[str]] = {}
        self.measured: list[Measurement] = []

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        context: Sequence[str | Sequence[str]] | None = None,
        answers: Sequence[str | Sequence[str]] | None = None,
        question: Sequence[str] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **_columns: Any,
    ) -> list[float]:
        """One reward per completion; verification is one batch.

        Args:
            prompts: (N,) prompts, strings or conversations.
            completions: (N,) strings or conversations (lists of messages), as TRL passes them.
            context: (N,) evidence that replaces retrieval, a column of the data set; a passage or several a row.
            answers: (N,) accepted answers, a column of the data set; one or several a row. They decide whether a completion
                is correct, and are the evidence where there is neither a context nor an index.
            question: (N,) what each completion answers; by default the last question of its prompt. A short answer is
                judged together with it.
            log_metric, log_extra: TRL's; means and the unsupported claims of each completion are logged with them.
        """
        texts = [completion_text(completion) for completion in completions]
        count = len(texts)
        columns = {"prompts": prompts, "context": context, "answers": answers, "question": question}
        for name, column in columns.items():
            if column is not None and len(column) != count:
                raise InvalidInput(f"there are {len(column)} {name} for {count} completions; pass one of each a completion")
        if context is None and answers is None and self.index is None:
            raise InvalidInput(
                "there is no evidence: give FactualityReward an index, or the data set a 'context' or 'answers' column"
            )
        asked = list(question) if question is not None else [prompt_question(prompt) for prompt in prompts]
        answers_of = [_as_list(own) for own in answers] if answers is not None else None
        stated = [split_confidence(text) for text in texts]
        claims = self._claims([text for text, _ in stated], asked)
        evidence = self._evidence(claims, asked, context, answers_of)
        judged = [
            JudgedCompletion(
                text=text,
                claims=tuple(
                    JudgedClaim(claim, verdict.support, verdict.refuted, is_hedged(claim))
                    for claim, verdict in zip(own, verdicts, strict=True)
                ),
                answered=contains_answer(text, answers_of[row]) if answers_of is not None else None,
                confidence=confidence,
            )
            for row, ((text, confidence), own, verdicts) in enumerate(
                zip(stated, claims, self._first.verdicts(claims, evidence), strict=True)
            )
        ]
        repeated = [repeated_share(text) for text in texts]
        copied = [copied_share(text, [p for own in rows for p in own]) for text, rows in zip(texts, evidence, strict=True)]
        differing = self._disagreement(judged, claims, evidence)
        rewards = [
            self.kind(own) - self.repetition_penalty * again - self.copy_penalty * copy - self.disagreement_penalty * differs
            for own, again, copy, differs in zip(judged, repeated, copied, differing, strict=True)
        ]
        for row, reward in enumerate(rewards):
            if not math.isfinite(reward):
                raise InvalidInput(
                    f"the reward of row {row}, whose completion begins {texts[row][:40]!r}, is {reward}; "
                    f"the verifier {self.verifier.name} or the kind of reward gave a value that is not finite"
                )
        metrics = _means(judged) | {"repeated": _mean(repeated), "copied": _mean(copied)}
        if self._second is not None:
            metrics["disagreement"] = _mean(differing)
        if self._held_out is not None:
            metrics |= self._measure(judged, self._held_out.verdicts(claims, evidence))
        if log_metric is not None:
            for name, value in metrics.items():
                log_metric(f"{self.__name__}/{name}", value)
        if log_extra is not None:
            log_extra("unsupported", [" | ".join(c.text for c in own.claims if c.support < 0.5) for own in judged])
        return rewards

    @property
    def measurements(self) -> int:
        """Calls in which the held-out verifier had claims to measure."""
        return sum(call.claims > 0 for call in self.measured)

    def gap_report(self) -> GapReport:
        """Support by the verifier that is optimised against support by the held-out one, over the calls so far.

        Raises:
            InvalidInput: there is no held-out verifier, or it has measured nothing yet.
        """
        if self._held_out is None:
            raise InvalidInput("no verifier is held out; pass held_out_verifier=... to FactualityReward")
        calls = [call for call in self.measured if call.claims]
        return gap_report([c.optimised / c.claims for c in calls], [c.held_out / c.claims for c in calls])

    def _claims(self, texts: Sequence[str], questions: Sequence[str | None]) -> list[list[str]]:
        """Check-worthy claims of each text; those that say the same but for case and punctuation once."""
        found = self.extractor.extract(texts, questions=questions)
        return [
            list({normalize_answer(claim.text): claim.text for claim in own if claim.check_worthy}.values()) for own in found
        ]

    def _evidence(
        self,
        claims: Sequence[Sequence[str]],
        questions: Sequence[str | None],
        context: Sequence[str | Sequence[str]] | None,
        answers: Sequence[list[str]] | None,
    ) -> list[list[list[str]]]:
        """The passages of each claim of each completion."""
        if context is not None or self.index is None:
            rows = [_as_list(own) for own in context] if context is not None else _answer_sentences(questions, answers or [])
            for row, own in enumerate(rows):
                if claims[row] and not any(passage.strip() for passage in own):
                    raise InvalidInput(f"row {row} has an empty context; give it the text that its answer is judged against")
            return [[[p for p in own if p.strip()] for _ in claims[row]] for row, own in enumerate(rows)]
        distinct = list(dict.fromkeys(claim for own in claims for claim in own))
        make_room(self._found, len(distinct))
        wanted = [claim for claim in distinct if claim not in self._found]
        if wanted:
            for claim, hits in zip(wanted, self.index.search(wanted, k=self.k), strict=True):
                self._found[claim] = [hit.passage.text for hit in hits]
        return [[self._found[claim] for claim in own] for own in claims]

    def _disagreement(
        self,
        judged: Sequence[JudgedCompletion],
        claims: Sequence[Sequence[str]],
        evidence: Sequence[Sequence[Sequence[str]]],
    ) -> list[float]:
        if self._second is None:
            return [0.0] * len(judged)
        others = self._second.verdicts(claims, evidence)
        return [
            _mean([abs(claim.support - verdict.support) for claim, verdict in zip(own.claims, verdicts, strict=True)])
            for own, verdicts in zip(judged, others, strict=True)
        ]

    def _measure(self, judged: Sequence[JudgedCompletion], held_out: Sequence[Sequence[ClaimVerdict]]) -> dict[str, float]:
        optimised = [claim.support for own in judged for claim in own.claims]
        measured = [verdict.support for own in held_out for verdict in own]
        self.measured.append(Measurement(sum(optimised), sum(measured), len(optimised)))
        return {"held_out_support": _mean(measured), "held_out_gap": _mean(optimised) - _mean(measured)}


def _answer_sentences(questions: Sequence[str | None], answers: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[f"{asked or ''} {answer}".strip() for answer in own] for asked, own in zip(questions, answers, strict=True)]


def _as_list(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _means(judged: Sequence[JudgedCompletion]) -> dict[str, float]:
    claims = [claim for own in judged for claim in own.claims]
    return {
        "claims": _mean([len(own.claims) for own in judged]),
        "support": _mean([claim.support for claim in claims]),
        "refuted": _mean([claim.refuted for claim in claims]),
        "hedged": _mean([claim.hedged for claim in claims]),
        "abstained": _mean([own.abstains for own in judged]),
        "correct": _mean([own.correct for own in judged]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
