"""A factuality reward with TRL's reward-function signature, for `GRPOTrainer(reward_funcs=...)` and `RLOOTrainer`.

The claims of a completion are judged against evidence. A kind of reward (kinds.py) turns the verdicts into a number, from
which penalties for reward hacking (guards.py) are subtracted. Not covered: the sum with other rewards (composite.py), and
the trainers, which are TRL's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.claims import RuleClaimExtractor
from halluc.claims.abstention import abstains, is_hedged
from halluc.errors import InvalidInput, leaf_errors_as_ours
from halluc.grading.correctness import gives_answer
from halluc.grading.matching import normalize_answer
from halluc.verification.judge import Judge
from training.rewards.completions import check_one_each, completion_text, split_confidence
from training.rewards.credit import CreditedSpan, claim_credits, credited_advantages
from training.rewards.evidence import row_evidence
from training.rewards.guards import copied_share, repeated_share, restates
from training.rewards.hacking import GapReport, Measurement, gap_report
from training.rewards.kinds import JudgedClaim, JudgedCompletion, RewardKind, binary_factuality

if TYPE_CHECKING:
    import torch

    from halluc.answers import Claim, Verdict
    from halluc.claims import ClaimExtractor
    from halluc.verification.verifier import Verifier
    from retrieval import Passage, PassageStore

__all__ = ["FactualityReward"]

# Claims whose retrieved passages are kept; a claim with its passages takes a few kilobytes.
_MAX_CACHED = 100_000


class _Row(NamedTuple):
    """A completion with what it is judged by.

    Attributes:
        text: the completion.
        answer: the completion without the confidence it states.
        confidence: that confidence in [0, 1], or None.
        question: what it answers, or None.
        references: accepted answers; None if the row has none.
        evidence: texts to judge it against; None to retrieve passages for each claim.
    """

    text: str
    answer: str
    confidence: float | None
    question: str | None
    references: list[str] | None
    evidence: list[Passage] | None


class FactualityReward:
    """The reward of a completion for being true, minus penalties for reward hacking.

    By default a completion earns 1 if the evidence supports all of its claims, else 0; also 0 if it has none, so that saying
    nothing never pays. The mean support of the claims (`claim_precision`) separates answers more finely, but pays ten times
    as many replies that do not answer (benchmarks/rewards.py). Verdicts are cached, so that a claim that many completions
    make is judged once. TRL logs the reward under `__name__`.

    Args:
        verifier: gives the probability that evidence supports a claim.
        index: where evidence is retrieved for rows without a `context`; None if every row of the data set has a `context` or
            `references`.
        k: passages retrieved per claim, at least 1.
        kind: what a judged completion earns (kinds.py); set its parameters with `functools.partial`.
        extractor: splits completions into claims; None for the rule-based one.
        repetition_penalty: subtracted, times `repeated_share`, from completions that repeat themselves.
        copy_penalty: subtracted, times `copied_share`, from completions copied from the evidence.
        second_verifier: judges the same claims; where the two differ, the reward is doubtful.
        disagreement_penalty: subtracted, times the mean difference of the support by the two verifiers, in [0, 1].
        held_out_verifier: judges the same claims but does not change the reward. If support rises by the first verifier and
            not by this one, that is reward hacking; see `gap_report`.

    Attributes:
        measured: support by the first and the held-out verifier in each call so far.
        credits: what each completion of the last call states, and whether it is true (credit.py).

    Raises:
        InvalidInput: k is below 1 or a penalty is negative.
    """

    __name__ = "factuality"

    def __init__(
        self,
        verifier: Verifier,
        index: PassageStore | None = None,
        *,
        k: int = 3,
        kind: RewardKind = binary_factuality,
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
                raise InvalidInput(f"{name}_penalty is {value}; pass 0 or more, it is subtracted from the reward")
        self.verifier = verifier
        self.index = index
        self.k = k
        self.kind = kind
        self.extractor: ClaimExtractor = extractor or RuleClaimExtractor()
        self.repetition_penalty = repetition_penalty
        self.copy_penalty = copy_penalty
        self.disagreement_penalty = disagreement_penalty
        self._judge = Judge(verifier)
        self._second_judge = Judge(second_verifier) if second_verifier is not None else None
        self._held_out_judge = Judge(held_out_verifier) if held_out_verifier is not None else None
        self._retrieved: dict[str, list[Passage]] = {}
        self.measured: list[Measurement] = []
        self.credits: list[list[CreditedSpan]] = []

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        context: Sequence[str | Sequence[str] | None] | None = None,
        references: Sequence[str | Sequence[str] | None] | None = None,
        question: Sequence[str | None] | None = None,
        row: Sequence[int] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **_columns: Any,
    ) -> list[float]:
        """Score completions; all new claims are verified in one batch.

        The evidence of a row is its context; without one, passages retrieved for each claim; without an index, the
        question with each of its references.

        Args:
            prompts: (N,) prompts, strings or conversations.
            completions: (N,) strings or conversations (lists of messages), as TRL passes them.
            context: (N,) a column of the data set: one passage or several per row, or None.
            references: (N,) a column of the data set: one accepted answer or several per row, or None. They decide whether a
                completion is correct.
            question: (N,) what each completion answers, judged together with a short answer; by default the last question of
                its prompt.
            row: (N,) numbers of the rows in their data set, for messages; by default their places in this call.
            log_metric, log_extra: TRL's; means and the unsupported claims of each completion are logged with them.

        Returns:
            (N,) rewards.

        Raises:
            InvalidInput: a column is a single text or has another length, a row (it is named) has no evidence or values that
                cannot be used, or its reward is not finite.
        """
        rows, numbers = self._rows(prompts, completions, context, references, question, row)
        claims = self._claims(rows)
        passages = self._passages(rows, claims)
        verdicts = _verdicts(self._judge, claims, passages)
        self.credits = [
            claim_credits(row.answer, verdicts_of_row) for row, verdicts_of_row in zip(rows, verdicts, strict=True)
        ]
        judged = [_judged(row, verdicts_of_row) for row, verdicts_of_row in zip(rows, verdicts, strict=True)]
        # Of the answer alone: a stated confidence would make both shares smaller.
        repeated = [repeated_share(row.answer) for row in rows]
        copied = [_copied(row, passages_of_row) for row, passages_of_row in zip(rows, passages, strict=True)]
        disagreement = self._disagreement(judged, claims, passages)
        penalties = [
            self.repetition_penalty * repetition + self.copy_penalty * copy + self.disagreement_penalty * difference
            for repetition, copy, difference in zip(repeated, copied, disagreement, strict=True)
        ]
        rewards = [self.kind(completion) - penalty for completion, penalty in zip(judged, penalties, strict=True)]
        self._check_finite(judged, rewards, numbers)
        metrics = _means(judged) | {"repeated": _mean(repeated), "copied": _mean(copied)}
        metrics |= {"disagreement": _mean(disagreement)} if self._second_judge is not None else {}
        if self._held_out_judge is not None:
            metrics |= self._measure(judged, _verdicts(self._held_out_judge, claims, passages))
        if log_metric is not None:
            for name, value in metrics.items():
                log_metric(f"{self.__name__}/{name}", value)
        if log_extra is not None:
            log_extra("unsupported", [_unsupported(completion) for completion in judged])
        return rewards

    def credited(self, tokenizer: Any, ids: torch.Tensor, mask: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
        """Give the tokens of the completions of the last call their own advantages; see `credited_advantages`."""
        return credited_advantages(tokenizer, ids, mask, advantages, self.credits)

    @property
    def parts(self) -> dict[str, Any]:
        """All that decides a reward, for `content_identity`."""
        second = self._second_judge.verifier if self._second_judge is not None else None
        penalties = [self.repetition_penalty, self.copy_penalty, self.disagreement_penalty if second else None]
        return {
            "verifier": self.verifier,
            "index": self.index,
            "k": self.k if self.index is not None else None,
            "kind": self.kind,
            "extractor": self.extractor,
            "second verifier": second,
            "penalties": penalties,
        }

    @property
    def measurements(self) -> int:
        """Number of calls in which the held-out verifier had claims to judge."""
        return sum(call.claims > 0 for call in self.measured)

    def gap_report(self) -> GapReport:
        """Compare support by the verifier that is optimized against with support by the held-out one, over the calls so far.

        Raises:
            InvalidInput: there is no held-out verifier, or it has judged nothing yet.
        """
        if self._held_out_judge is None:
            raise InvalidInput("no verifier is held out; pass held_out_verifier=... to FactualityReward")
        calls = [call for call in self.measured if call.claims]
        return gap_report([c.optimized / c.claims for c in calls], [c.held_out / c.claims for c in calls])

    def _rows(
        self, prompts: Any, completions: Any, context: Any, references: Any, question: Any, row: Any
    ) -> tuple[list[_Row], list[int]]:
        """The rows, and their numbers for messages."""
        columns = {"prompts": prompts, "context": context, "references": references, "question": question, "row": row}
        check_one_each("completions", completions, **columns)
        if context is None and references is None and self.index is None:
            raise InvalidInput(
                "there is no evidence: give FactualityReward an index, or the data set a column 'context' or 'references'"
            )
        missing = [None] * len(completions)
        cells = (missing if column is None else column for column in (context, references, question))
        numbers = list(range(len(completions)) if row is None else row)
        columns_of_rows = zip(numbers, prompts, completions, *cells, strict=True)
        return [self._row(*values) for values in columns_of_rows], numbers

    def _row(self, number: int, prompt: Any, completion: Any, context: Any, references: Any, question: Any) -> _Row:
        from retrieval import Passage

        evidence = row_evidence(
            number, prompt, context=context, references=references, question=question, indexed=self.index is not None
        )
        try:
            text = completion_text(completion)
        except InvalidInput as error:
            raise InvalidInput(f"row {number} cannot be scored: {error}") from error
        texts = evidence.texts
        documents = None if texts is None else [Passage(str(i), text) for i, text in enumerate(texts)]
        return _Row(text, *split_confidence(text), evidence.question, evidence.references, documents)

    def _claims(self, rows: Sequence[_Row]) -> list[list[Claim]]:
        """Check-worthy claims that say more than the question; those that differ only in case and punctuation once.

        An abstention has none, whatever the extractor finds in it.
        """
        extracted = self.extractor.extract([row.answer for row in rows], questions=[row.question for row in rows])
        return [
            list({normalize_answer(claim.text): claim for claim in claims if _states(claim, row)}.values())
            if not abstains(row.answer)
            else []
            for row, claims in zip(rows, extracted, strict=True)
        ]

    def _passages(self, rows: Sequence[_Row], claims: Sequence[Sequence[Claim]]) -> list[list[list[Passage]]]:
        """The passages of each claim of each completion."""
        retrieved = [(row.evidence is None, claims_of_row) for row, claims_of_row in zip(rows, claims, strict=True)]
        self._retrieve([claim.text for needed, claims_of_row in retrieved if needed for claim in claims_of_row])
        return [
            [self._retrieved[claim.text] if row.evidence is None else row.evidence for claim in claims_of_row]
            for row, claims_of_row in zip(rows, claims, strict=True)
        ]

    def _retrieve(self, claims: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(claims))
        if len(self._retrieved) + len(distinct) > _MAX_CACHED:
            self._retrieved.clear()
        new = [claim for claim in distinct if claim not in self._retrieved]
        if not new or self.index is None:
            return
        with leaf_errors_as_ours():
            results = self.index.search(new, k=self.k)
        self._retrieved |= {claim: [hit.passage for hit in hits] for claim, hits in zip(new, results, strict=True)}

    def _disagreement(
        self,
        judged: Sequence[JudgedCompletion],
        claims: Sequence[Sequence[Claim]],
        passages: Sequence[Sequence[Sequence[Passage]]],
    ) -> list[float]:
        """(N,) mean differences in [0, 1] of the support by the two verifiers."""
        if self._second_judge is None:
            return [0.0] * len(judged)
        return [
            _mean([abs(claim.support - verdict.support) for claim, verdict in zip(completion.claims, verdicts, strict=True)])
            for completion, verdicts in zip(judged, _verdicts(self._second_judge, claims, passages), strict=True)
        ]

    def _measure(self, judged: Sequence[JudgedCompletion], held_out: Sequence[Sequence[Verdict]]) -> dict[str, float]:
        optimized = [claim.support for completion in judged for claim in completion.claims]
        measured = [verdict.support for verdicts in held_out for verdict in verdicts]
        self.measured.append(Measurement(sum(optimized), sum(measured), len(optimized)))
        return {"held_out_support": _mean(measured), "held_out_gap": _mean(optimized) - _mean(measured)}

    def _check_finite(self, judged: Sequence[JudgedCompletion], rewards: Sequence[float], numbers: Sequence[int]) -> None:
        for number, completion, reward in zip(numbers, judged, rewards, strict=True):
            # Kinds that only compare support with a threshold would hide it.
            values = [reward, *(claim.support for claim in completion.claims)]
            value = next((value for value in values if not math.isfinite(value)), None)
            if value is not None:
                raise InvalidInput(
                    f"the reward of row {number}, whose completion begins {completion.text[:40]!r}, is {value}; the "
                    f"verifier {self.verifier.name} or the kind of reward gave a value that is not finite"
                )


def _verdicts(
    judge: Judge, claims: Sequence[Sequence[Claim]], passages: Sequence[Sequence[Sequence[Passage]]]
) -> list[list[Verdict]]:
    """The verdicts on the claims of each completion, from one call of the judge."""
    verdicts = iter(
        judge.verdicts(
            [claim for claims_of_row in claims for claim in claims_of_row],
            [passages_of_claim for passages_of_row in passages for passages_of_claim in passages_of_row],
        )
    )
    return [[next(verdicts) for _ in claims_of_row] for claims_of_row in claims]


def _judged(row: _Row, verdicts: Sequence[Verdict]) -> JudgedCompletion:
    return JudgedCompletion(
        text=row.answer,
        claims=tuple(
            JudgedClaim(verdict.claim.text, verdict.support, verdict.label == "refuted", _is_hedged(verdict.claim))
            for verdict in verdicts
        ),
        matches=gives_answer(row.answer, row.references) if row.references is not None else None,
        confidence=row.confidence,
    )


def _states(claim: Claim, row: _Row) -> bool:
    # The text of a short answer's claim begins with the question; its place in the answer does not.
    own_words = row.answer[claim.start : claim.end] or claim.text
    return claim.check_worthy and not restates(own_words, row.question)


def _is_hedged(claim: Claim) -> bool:
    # Extractors that are not ours may not mark hedged claims.
    return claim.hedged or is_hedged(claim.text)


def _copied(row: _Row, passages: Sequence[Sequence[Passage]]) -> float:
    return copied_share(row.answer, [passage.text for passages_of_claim in passages for passage in passages_of_claim])


def _unsupported(completion: JudgedCompletion) -> str:
    return " | ".join(claim.text for claim in completion.claims if claim.support < 0.5)


def _means(judged: Sequence[JudgedCompletion]) -> dict[str, float]:
    claims = [claim for completion in judged for claim in completion.claims]
    return {
        "claims": _mean([len(completion.claims) for completion in judged]),
        "support": _mean([claim.support for claim in claims]),
        "refuted": _mean([claim.refuted for claim in claims]),
        "hedged": _mean([claim.hedged for claim in claims]),
        "abstained": _mean([completion.abstains for completion in judged]),
        "correct": _mean([completion.correct for completion in judged]),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
