"""The table of all detectors by name: a detector is one function in its family's file and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halluc.detectors import grounded, internal_state, reasoning, sample_graph, sampling, token_probability
from halluc.detectors.detector import Detector
from halluc.errors import InvalidInput

__all__ = ["DETECTORS", "detectors_named"]

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        token_probability.MAX_SEQUENCE_PROBABILITY,
        token_probability.PERPLEXITY,
        token_probability.MEAN_TOKEN_ENTROPY,
        token_probability.MAX_TOKEN_ENTROPY,
        token_probability.SELF_CERTAINTY,
        token_probability.CLAIM_CONDITIONED_PROBABILITY,
        token_probability.TOKEN_SAR,
        token_probability.RAUQ,
        sampling.SEMANTIC_ENTROPY,
        sampling.DISCRETE_SEMANTIC_ENTROPY,
        sampling.NUMBER_OF_SEMANTIC_SETS,
        sampling.LEXICAL_SIMILARITY,
        sampling.SEMANTIC_DENSITY,
        sampling.SENTENCE_SAR,
        sampling.SAR,
        sampling.EIGEN_SCORE,
        sampling.SELFCHECK_NGRAM,
        sampling.SELFCHECK_NLI,
        sampling.SELFCHECK_PROMPT,
        sampling.COCOA,
        sampling.COCOA_PERPLEXITY,
        sampling.COCOA_ENTROPY,
        sample_graph.DEGREE_MATRIX,
        sample_graph.ECCENTRICITY,
        sample_graph.EIGENVALUE_LAPLACIAN,
        sample_graph.KERNEL_LANGUAGE_ENTROPY,
        grounded.P_TRUE,
        grounded.VERBALIZED_CONFIDENCE,
        internal_state.LOOKBACK_RATIO,
        grounded.SUPPORT,
        grounded.LEAST_SUPPORT,
        grounded.CONTEXT_ATTRIBUTION,
        reasoning.ARITHMETIC_MISTAKES,
        reasoning.STEP_INCONSISTENCY,
    )
}


def detectors_named(detectors: Sequence[str | Detector] | None) -> list[Detector]:
    """Look up detectors by name, each once; detectors in the list are taken as they are. None is the whole table.

    Raises:
        InvalidInput: a name is not in the table, or the list is empty.
    """
    if detectors is None:
        return list(DETECTORS.values())
    if isinstance(detectors, str) or not isinstance(detectors, Iterable):
        raise InvalidInput(f"detectors is {detectors!r}; pass a list of names")
    selected: dict[str, Detector] = {}
    for detector in detectors:
        if isinstance(detector, str):
            if detector not in DETECTORS:
                raise InvalidInput(f"there is no detector {detector!r}; there are {', '.join(DETECTORS)}")
            detector = DETECTORS[detector]
        elif not isinstance(detector, Detector):
            raise InvalidInput(f"{detector!r} is neither a name nor a Detector")
        selected[detector.name] = detector
    if not selected:
        raise InvalidInput("the list of detectors is empty; name some, or pass None for all")
    return list(selected.values())
