"""Detect, ground, calibrate and train away language-model hallucinations.

Names are handed out lazily: `import halluc` loads neither torch nor transformers nor faiss.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import HallucError, ShadowedPackage

if TYPE_CHECKING:
    from halluc.answers import Answer, Citation, Claim, Verdict
    from halluc.claims import ClaimExtractor, LMClaimExtractor, RuleClaimExtractor, extract_claims
    from halluc.confidence.calibrate import AnswerCalibration, calibrate
    from halluc.cove.chain import ChainOfVerification
    from halluc.cove.trace import VerifiedAnswer
    from halluc.detectors.detect import Detection, detect
    from halluc.grounding.grounded_model import GroundedModel
    from halluc.models import load_model
    from halluc.models.language_model import Generation, LanguageModel
    from halluc.revision import RevisedAnswer, revise
    from halluc.verification import load_verifier
    from halluc.verification.check import CheckReport, check, check_many
    from halluc.verification.verifier import Verifier

__all__ = [
    "Answer",
    "AnswerCalibration",
    "ChainOfVerification",
    "CheckReport",
    "Citation",
    "Claim",
    "ClaimExtractor",
    "Detection",
    "Generation",
    "GroundedModel",
    "HallucError",
    "LMClaimExtractor",
    "LanguageModel",
    "RevisedAnswer",
    "RuleClaimExtractor",
    "Verdict",
    "VerifiedAnswer",
    "Verifier",
    "calibrate",
    "check",
    "check_many",
    "detect",
    "extract_claims",
    "load_model",
    "load_verifier",
    "revise",
]

__version__ = "0.1.0"

_MODULE_OF = {
    "Answer": "halluc.answers",
    "AnswerCalibration": "halluc.confidence.calibrate",
    "ChainOfVerification": "halluc.cove.chain",
    "CheckReport": "halluc.verification.check",
    "Citation": "halluc.answers",
    "Claim": "halluc.answers",
    "ClaimExtractor": "halluc.claims",
    "Detection": "halluc.detectors.detect",
    "Generation": "halluc.models.language_model",
    "GroundedModel": "halluc.grounding.grounded_model",
    "LMClaimExtractor": "halluc.claims",
    "LanguageModel": "halluc.models.language_model",
    "RevisedAnswer": "halluc.revision",
    "RuleClaimExtractor": "halluc.claims",
    "Verdict": "halluc.answers",
    "VerifiedAnswer": "halluc.cove.trace",
    "Verifier": "halluc.verification.verifier",
    "calibrate": "halluc.confidence.calibrate",
    "check": "halluc.verification.check",
    "check_many": "halluc.verification.check",
    "detect": "halluc.detectors.detect",
    "extract_claims": "halluc.claims",
    "load_model": "halluc.models",
    "load_verifier": "halluc.verification",
    "revise": "halluc.revision",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'halluc' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _check_siblings() -> None:
    """`retrieval`, `calibration` and `training` are common names: refuse to run with somebody else's."""
    home = Path(__file__).resolve().parent.parent
    for name in ("retrieval", "calibration", "training"):
        spec = find_spec(name)
        origin = spec.origin if spec else None
        if origin is None or Path(origin).resolve().parent.parent != home:
            found = origin or (list(spec.submodule_search_locations or []) if spec else "nothing")
            raise ShadowedPackage(
                f"'{name}' resolves to {found}, not to the package installed with halluc in {home}; rename that file or "
                "folder, or take its directory off the import path"
            )


_check_siblings()
