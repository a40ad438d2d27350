"""Long answers, judged claim by claim over an index: what FActScore and LongFact share.

The claims are this project's (`RuleClaimExtractor`), so are the passages (the index) and the verdicts (the verifier). A
figure therefore depends on all three, and compares with published ones only in kind. The corpus is the user's: a claim about
something that the index does not cover counts as unsupported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Item, Reply, Scores, Tools
from halluc.evaluation.short_answers import attempted

__all__ = ["count_supported", "f1_at", "penalized_precision"]


def count_supported(items: Sequence[Item], replies: Sequence[Reply], tools: Tools) -> list[Scores]:
    """Count the claims of each reply, and those that the index supports.

    Returns:
        (N,) scores: answered, n_claims, n_supported.

    Raises:
        InvalidInput: there is no index or no verifier.
    """
    from halluc.verification.check import check_many

    if tools.index is None or tools.verifier is None:
        raise InvalidInput("claims are judged by an index and a verifier; pass both")
    answered = [i for i, reply in enumerate(replies) if attempted(reply) and reply.text.strip()]
    texts, questions = [replies[i].text for i in answered], [items[i].question for i in answered]
    reports = check_many(texts, questions=questions, index=tools.index, verifier=tools.verifier) if answered else []
    counts = {
        i: (len(report.verdicts), sum(verdict.label == "supported" for verdict in report.verdicts))
        for i, report in zip(answered, reports, strict=True)
    }
    return [
        {"answered": i in counts, "n_claims": counts.get(i, (0, 0))[0], "n_supported": counts.get(i, (0, 0))[1]}
        for i in range(len(items))
    ]


def penalized_precision(n_supported: int, n_claims: int, *, gamma: int = 10) -> float:
    """Share of supported claims times the length penalty exp(1 - gamma / n) for n < gamma claims.

    From the code of FActScore (Min et al. 2023, arXiv 2305.14251): an answer of few claims could be precise for free.

    >>> penalized_precision(8, 10), round(penalized_precision(5, 5), 4), penalized_precision(0, 0)
    (0.8, 0.3679, 0.0)
    """
    if n_claims == 0:
        return 0.0
    return n_supported / n_claims * (math.exp(1 - gamma / n_claims) if n_claims < gamma else 1.0)


def f1_at(n_supported: int, n_claims: int, k: int) -> float:
    """F1@K (Wei et al. 2024, arXiv 2403.18802, section 5): harmonic mean of precision and min(supported / K, 1).

    >>> f1_at(32, 40, 64), f1_at(0, 5, 64)
    (0.6153846153846154, 0.0)
    """
    if n_supported == 0:
        return 0.0
    precision, recall = n_supported / n_claims, min(n_supported / k, 1.0)
    return 2 * precision * recall / (precision + recall)
