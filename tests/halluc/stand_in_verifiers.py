"""A verifier that follows from the words alone, for tests of control flow."""

import re

import numpy as np

from halluc.verification.verifier import checked_pairs


class SharedWords:
    """Supports a claim by the share of its words in the evidence; a number that is not there refutes it."""

    name = "shared words"

    def __init__(self):
        self.calls = 0

    def probabilities(self, pairs):
        self.calls += 1
        return np.array([_row(evidence, claim) for evidence, claim in checked_pairs(pairs)])

    def support(self, pairs):
        return self.probabilities(pairs)[:, 0]


def _row(evidence, claim):
    evidence_words, claim_words = (set(re.findall(r"\w+", text.lower())) for text in (evidence, claim))
    share = len(evidence_words & claim_words) / len(claim_words)
    if any(word.isdigit() for word in claim_words - evidence_words):
        return (0.0, share, 1 - share)
    return (share, 0.0, 1 - share)
