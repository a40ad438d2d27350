"""From an answer to the claims in it: one claim a sentence."""

from __future__ import annotations

from halluc.answers import Claim

__all__ = ["extract_claims"]


def extract_claims(text: str) -> list[Claim]:
    """The sentences of `text` as claims with their character spans; questions state nothing and are left out."""
    from retrieval.sentences import sentence_spans

    claims = [Claim(text[start:end], start, end) for start, end in sentence_spans(text)]
    return [claim for claim in claims if not claim.text.endswith("?")]
