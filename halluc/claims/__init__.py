"""Extract the claims of an answer.

`ClaimExtractor` is the protocol; `RuleClaimExtractor` (the default) parses sentences and splits them where that is safe;
`LMClaimExtractor` prompts a language model. `extract_claims` is the function for one text. Not covered: whether a claim
holds (`halluc.verification`).
"""

from halluc.claims.extractor import ClaimExtractor
from halluc.claims.lm_extractor import LMClaimExtractor
from halluc.claims.rule_extractor import RuleClaimExtractor, extract_claims

__all__ = ["ClaimExtractor", "LMClaimExtractor", "RuleClaimExtractor", "extract_claims"]
