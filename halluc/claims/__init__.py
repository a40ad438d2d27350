"""From an answer to the claims in it.

`ClaimExtractor` is the protocol; `RuleClaimExtractor` (the default) parses sentences and cuts them where that is safe,
`LMClaimExtractor` asks a language model. `extract_claims` is the plain function for one text. Not here: whether a claim
holds (verifiers/, check.py).
"""

from halluc.claims.extractor import ClaimExtractor, extract_claims
from halluc.claims.lm_extractor import LMClaimExtractor
from halluc.claims.rule_extractor import RuleClaimExtractor

__all__ = ["ClaimExtractor", "LMClaimExtractor", "RuleClaimExtractor", "extract_claims"]
