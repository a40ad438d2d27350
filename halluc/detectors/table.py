"""All detectors by name. A detector is one function in a family's file and one line here."""

from __future__ import annotations

from halluc.detectors import grounded, internal_state, reflexive, sample_graph, sampling, token_probability
from halluc.detectors.detector import Detector
from halluc.reasoning import steps as reasoning

__all__ = ["DETECTORS"]

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
        reflexive.P_TRUE,
        reflexive.VERBALISED_CONFIDENCE,
        internal_state.LOOKBACK_RATIO,
        grounded.SUPPORT,
        grounded.LEAST_SUPPORT,
        grounded.CONTEXT_ATTRIBUTION,
        reasoning.ARITHMETIC_MISTAKES,
        reasoning.STEP_INCONSISTENCY,
    )
}
