"""How a model answers the items of a benchmark: alone, or with a mitigation of this project.

    none        the model alone
    grounded    GroundedModel over an index; likelihood benchmarks get the retrieved passage before the question
    abstain     grounded, and silent if a claim of the answer has less support than `min_support`
    cove        chain-of-verification, over the index if there is one
    revise      the model alone, then `halluc.revise` against the index; unsupported sentences are removed

Not covered: the mitigations themselves (halluc.grounding, halluc.cove, halluc.revision).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from halluc.errors import InvalidInput, leaf_errors_as_ours
from halluc.evaluation.benchmark import Item, Likelihoods, Reply

if TYPE_CHECKING:
    from halluc.answers import Answer
    from halluc.models.language_model import LanguageModel
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["Mitigation", "System", "check_system", "generate_replies", "score_likelihoods"]

Mitigation = Literal["none", "grounded", "cove", "abstain", "revise"]

_NEEDS_INDEX = ("grounded", "abstain", "revise")
_NEEDS_VERIFIER = ("abstain", "revise")


@dataclass(frozen=True)
class System:
    """What is evaluated.

    Attributes:
        lm: the model.
        mitigation: what is done about hallucinations.
        index: where passages are retrieved; needed by grounded, abstain and revise.
        verifier: judges claims; needed by abstain and revise.
        k: passages per question or claim.
        min_support: below this support, in [0, 1], "abstain" gives no answer.
    """

    lm: LanguageModel
    mitigation: Mitigation = "none"
    index: PassageStore | None = None
    verifier: Verifier | None = None
    k: int = 3
    min_support: float = 0.5


def check_system(system: System, kind: Literal["likelihood", "generation"]) -> None:
    """Check that a system can run benchmarks of a kind.

    Raises:
        InvalidInput: the mitigation is unknown, lacks its index or verifier, or changes nothing that the kind measures; or
            the model does not score given texts, which likelihood benchmarks need.
    """
    from halluc.models.prefix_scoring import check_scores_continuations

    mitigation = system.mitigation
    if mitigation not in get_args(Mitigation):
        raise InvalidInput(f"there is no mitigation {mitigation!r}; pass one of {', '.join(get_args(Mitigation))}")
    if kind == "likelihood":
        check_scores_continuations(system.lm)
        if mitigation not in ("none", "grounded"):
            raise InvalidInput(
                f"the mitigation {mitigation} changes replies, but this benchmark scores likelihoods of given answers; pass "
                "none or grounded"
            )
    if mitigation in _NEEDS_INDEX and system.index is None:
        raise InvalidInput(f"the mitigation {mitigation} answers from an index; pass --index")
    if mitigation in _NEEDS_VERIFIER and system.verifier is None:
        raise InvalidInput(f"the mitigation {mitigation} judges claims; pass a verifier")


def score_likelihoods(system: System, items: Sequence[Item]) -> list[Likelihoods]:
    """Score the continuations of each item, with one call for all of them.

    Grounded, the best passage for the item's question comes before the last paragraph of the context, that is after the
    examples and before the question.
    """
    from halluc.models.prefix_scoring import check_scores_continuations, score_choices

    lm = check_scores_continuations(system.lm)
    if system.mitigation == "grounded":
        items = _with_passages(system, items)
    queries = [query for item in items for query in item.choices]
    scores = iter(score_choices(lm, queries))
    return [[next(scores) for _ in item.choices] for item in items]


def generate_replies(system: System, items: Sequence[Item], max_new_tokens: int) -> list[Reply]:
    """Answer each item greedily, in one batch."""
    questions = [item.question for item in items]
    if system.mitigation in ("grounded", "abstain"):
        from halluc.grounding.grounded_model import GroundedModel

        assert system.index is not None
        model = GroundedModel(
            system.lm,
            system.index,
            verifier=system.verifier if system.mitigation == "abstain" else None,
            k=system.k,
            max_new_tokens=max_new_tokens,
            min_support=system.min_support if system.mitigation == "abstain" else 0.0,
        )
        return [_reply(answer) for answer in model.batch(questions)]
    if system.mitigation == "cove":
        from halluc.cove.chain import ChainOfVerification

        chain = ChainOfVerification(system.lm, index=system.index, k=system.k, max_new_tokens=max_new_tokens)
        return [_reply(answer) for answer in chain.batch(questions)]
    replies = [_plain_reply(g[0]) for g in system.lm.generate([i.prompt for i in items], max_new_tokens=max_new_tokens)]
    return replies if system.mitigation == "none" else _revised(system, questions, replies)


def _revised(system: System, questions: Sequence[str], replies: Sequence[Reply]) -> list[Reply]:
    from halluc.answers import Answer
    from halluc.revision import revise

    assert system.index is not None
    assert system.verifier is not None
    drafts = [Answer(question, reply.text) for question, reply in zip(questions, replies, strict=True)]
    revised = revise(drafts, system.lm, system.index, verifier=system.verifier, on_failure="remove", k=system.k)
    return [_reply(answer) for answer in revised]


def _plain_reply(generation: Any) -> Reply:
    logprobs = generation.token_logprobs
    confidence = math.exp(sum(logprobs) / len(logprobs)) if logprobs else None
    return Reply(generation.text.strip(), confidence=confidence)


def _reply(answer: Answer) -> Reply:
    return Reply(answer.text.strip(), answer.abstained, answer.confidence)


def _with_passages(system: System, items: Sequence[Item]) -> list[Item]:
    from halluc.prompts import escape

    assert system.index is not None
    with leaf_errors_as_ours():
        results = system.index.search([item.question for item in items], k=1)
    grounded = []
    for item, hits in zip(items, results, strict=True):
        passage = escape(hits[0].passage.text, getattr(system.lm, "special_tokens", ())) if hits else ""
        choices = tuple(replace(query, context=_insert(query.context, passage)) for query in item.choices)
        grounded.append(replace(item, choices=choices) if passage else item)
    return grounded


def _insert(context: str, passage: str) -> str:
    examples, gap, last = context.rpartition("\n\n")
    return f"{examples}{gap}Passage: {passage}\n{last}"
