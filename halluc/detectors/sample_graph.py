"""Detectors on the graph of samples whose edges are entailment: the less connected it is, the less certain the model.

All take (k, k, 3) probabilities that sample i [supports, refutes, says nothing about] sample j. Graph measures of Lin et al.
2023 (arXiv 2305.19187) use W = (E + E^T) / 2 with E the first of the three.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from halluc.detectors.detector import Detector, Family
from halluc.detectors.statistics import FloatArray, Statistic, Statistics

__all__ = [
    "DEGREE_MATRIX",
    "ECCENTRICITY",
    "EIGENVALUE_LAPLACIAN",
    "KERNEL_LANGUAGE_ENTROPY",
    "degree_matrix",
    "eccentricity",
    "eigenvalue_laplacian",
    "kernel_language_entropy",
]


def degree_matrix(entailment: FloatArray) -> float:
    """trace(k I - D) / k^2, in [0, 1): the mean distance of two samples (arXiv 2305.19187, eq. 7)."""
    return float(1 - _symmetric(entailment).mean())


def eccentricity(entailment: FloatArray, *, threshold: float = 0.9) -> float:
    """Norm of the centered spectral embedding of the samples (arXiv 2305.19187, eq. 9), at least 0.

    Args:
        entailment: (k, k, 3).
        threshold: eigenvectors of the normalized Laplacian with eigenvalues below it span the embedding.
    """
    values, vectors = np.linalg.eigh(_normalized_laplacian(entailment))
    embedding = vectors[:, values < threshold]
    return float(np.linalg.norm(embedding - embedding.mean(0)))


def eigenvalue_laplacian(entailment: FloatArray) -> float:
    """Sum of max(0, 1 - eigenvalue) of the normalized Laplacian (arXiv 2305.19187, eq. 5): a smooth number of meanings."""
    return float(np.maximum(0, 1 - np.linalg.eigvalsh(_normalized_laplacian(entailment))).sum())


def kernel_language_entropy(entailment: FloatArray, *, t: float = 0.3) -> float:
    """Von Neumann entropy of the heat kernel of the samples (Nikitin et al. 2024, arXiv 2405.20003, eq. 5), in nats.

    Edges are P(entailment) + P(neutral) / 2 in both directions, summed; the kernel exp(-t L) of their Laplacian is
    normalized to a unit diagonal and trace 1.

    Args:
        entailment: (k, k, 3).
        t: diffusion time; the paper's 0.3.
    """
    one_way = entailment[..., 0] + entailment[..., 2] / 2
    weight = one_way + one_way.T
    values, vectors = np.linalg.eigh(np.diag(weight.sum(0)) - weight)
    kernel = (vectors * np.exp(-t * values)) @ vectors.T
    scale = np.sqrt(np.diag(kernel))
    spectrum = np.linalg.eigvalsh(kernel / np.outer(scale, scale) / len(kernel))
    spectrum = spectrum[spectrum > 1e-8]
    return float(-(spectrum * np.log(spectrum)).sum() + 0.0)


def _symmetric(entailment: FloatArray) -> FloatArray:
    support = entailment[..., 0]
    return np.asarray((support + support.T) / 2)


def _normalized_laplacian(entailment: FloatArray) -> FloatArray:
    weight = _symmetric(entailment)
    scale = 1 / np.sqrt(weight.sum(1))
    return np.asarray(np.eye(len(weight)) - scale[:, None] * weight * scale)


def _per_answer(score: Callable[[FloatArray], float], statistics: Statistics) -> FloatArray:
    return np.array([score(matrix) for matrix in statistics.entailment])


def _degree_matrix(statistics: Statistics) -> FloatArray:
    """Mean distance of the samples by entailment (Lin et al. 2023, arXiv 2305.19187)."""
    return _per_answer(degree_matrix, statistics)


def _eccentricity(statistics: Statistics) -> FloatArray:
    """Spread of the samples' spectral embedding (Lin et al. 2023, arXiv 2305.19187)."""
    return _per_answer(eccentricity, statistics)


def _eigenvalue_laplacian(statistics: Statistics) -> FloatArray:
    """Smooth number of meanings from the Laplacian's eigenvalues (Lin et al. 2023, arXiv 2305.19187)."""
    return _per_answer(eigenvalue_laplacian, statistics)


def _kernel_language_entropy(statistics: Statistics) -> FloatArray:
    """Von Neumann entropy of the samples' heat kernel (Nikitin et al. 2024, arXiv 2405.20003), in nats."""
    return _per_answer(kernel_language_entropy, statistics)


def _detector(name: str, score: Callable[[Statistics], FloatArray]) -> Detector:
    return Detector(name, Family.sampling, frozenset({Statistic.entailment}), score)


DEGREE_MATRIX = _detector("degree_matrix", _degree_matrix)
ECCENTRICITY = _detector("eccentricity", _eccentricity)
EIGENVALUE_LAPLACIAN = _detector("eigenvalue_laplacian", _eigenvalue_laplacian)
KERNEL_LANGUAGE_ENTROPY = _detector("kernel_language_entropy", _kernel_language_entropy)
