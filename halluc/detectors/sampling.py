"""Detectors that compare several answers drawn from the model: known facts recur, made-up ones vary.

Each formula is a function of one prompt's arrays; the detectors at the end apply it to every prompt. k is the number of
samples. Entailment matrices are (k, k, 3): probabilities that sample i [supports, refutes, says nothing about] sample j. Not
covered: graphs of samples (sample_graph.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from halluc.detectors.detector import Detector, Family
from halluc.detectors.statistics import FloatArray, IntArray, Statistic, Statistics
from halluc.detectors.token_probability import token_sar

__all__ = [
    "COCOA",
    "COCOA_ENTROPY",
    "COCOA_PERPLEXITY",
    "DISCRETE_SEMANTIC_ENTROPY",
    "EIGEN_SCORE",
    "LEXICAL_SIMILARITY",
    "NUMBER_OF_SEMANTIC_SETS",
    "SAR",
    "SELFCHECK_NGRAM",
    "SELFCHECK_NLI",
    "SELFCHECK_PROMPT",
    "SEMANTIC_DENSITY",
    "SEMANTIC_ENTROPY",
    "SENTENCE_SAR",
    "discrete_semantic_entropy",
    "eigen_score",
    "lexical_similarity",
    "rouge_l",
    "selfcheck_ngram",
    "selfcheck_nli",
    "semantic_density",
    "semantic_entropy",
    "semantic_sets",
    "sentence_sar",
]


def semantic_sets(entailment: FloatArray) -> IntArray:
    """Cluster samples that entail each other (Kuhn et al. 2023, arXiv 2302.09664, alg. 1).

    A sample joins the first set whose first member it entails and is entailed by; it entails another where entailment is the
    likeliest label.

    Args:
        entailment: (k, k, 3).

    Returns:
        (k,) the number of each sample's meaning, from 0.
    """
    entails = entailment.argmax(-1) == 0
    representatives: list[int] = []
    meaning = np.zeros(len(entails), np.int64)
    for i in range(len(entails)):
        same = (number for number, j in enumerate(representatives) if entails[i, j] and entails[j, i])
        meaning[i] = next(same, len(representatives))
        if meaning[i] == len(representatives):
            representatives.append(i)
    return meaning


def semantic_entropy(log_likelihood: FloatArray, cluster: IntArray) -> float:
    """Entropy over meanings rather than strings, in nats (arXiv 2302.09664, eq. 3; Farquhar et al. 2024, Nature 630, eq. 5).

    The probability of a meaning is the sum over its samples, normalized over the meanings that were drawn.

    Args:
        log_likelihood: (k,) length-normalized log-probability of each sample, in nats.
        cluster: (k,) the number of its meaning.
    """
    mass = np.array([np.logaddexp.reduce(log_likelihood[cluster == c]) for c in np.unique(cluster)])
    log_p = mass - np.logaddexp.reduce(mass)
    return float(-(np.exp(log_p) * log_p).sum() + 0.0)


def discrete_semantic_entropy(cluster: IntArray) -> float:
    """Entropy of the share of samples of each meaning, in nats (Farquhar et al. 2024, Nature 630, "discrete")."""
    share = np.bincount(cluster) / cluster.size
    share = share[share > 0]
    return float(-(share * np.log(share)).sum() + 0.0)


def rouge_l(first: str, second: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004), in [0, 1]; 1 for two texts without words."""
    from rapidfuzz.distance import LCSseq

    first_words, second_words = _words(first), _words(second)
    length = len(first_words) + len(second_words)
    return 2 * LCSseq.similarity(first_words, second_words) / length if length else 1.0


def lexical_similarity(samples: Sequence[str]) -> float:
    """Mean ROUGE-L over pairs of samples, in [0, 1] (Fomicheva et al. 2020, arXiv 2005.10608); 1 for a single sample."""
    pairs = [(i, j) for j in range(len(samples)) for i in range(j)]
    return float(np.mean([rouge_l(samples[i], samples[j]) for i, j in pairs])) if pairs else 1.0


def semantic_density(
    samples: Sequence[str],
    sample_log_likelihood: FloatArray,
    answer_log_likelihood: float,
    answer_entailment: FloatArray,
) -> float:
    """Density of the answer among the samples in semantic space, in [0, 1] (Qiu & Miikkulainen 2024, arXiv 2405.13845).

    Kernel 1 - d with squared distance d = P(contradiction) + P(neutral) / 2 (eq. 7 and 8), weighted by length-normalized
    probabilities (eq. 9); every distinct sample counts once, and the answer itself at distance 0.

    Args:
        samples: k texts.
        sample_log_likelihood: (k,) mean log-probability of a token, in nats.
        answer_log_likelihood: the same for the answer.
        answer_entailment: (k, 3) probabilities that the answer [supports, refutes, says nothing about] sample i.
    """
    distinct = list({text: i for i, text in reversed(list(enumerate(samples)))}.values())
    weight = np.exp(np.append(sample_log_likelihood[distinct], answer_log_likelihood))
    distance = np.append(answer_entailment[distinct, 1] + answer_entailment[distinct, 2] / 2, 0)
    return float((weight * (1 - distance)).sum() / weight.sum())


def sentence_sar(uncertainty: FloatArray, similarity: FloatArray, *, t: float = 0.001) -> float:
    """SentenceSAR (Duan et al. 2023, arXiv 2307.01379, eq. 9 and 10): probability shared with similar samples, in nats.

    With TokenSAR's `uncertainty` rather than negative log-probabilities this is SAR (section 4.3).

    Args:
        uncertainty: (k,) negative log-probability of each sample.
        similarity: (k, k); the diagonal is not read.
        t: temperature; the paper's 0.001.
    """
    # In logarithms, since the probabilities of long samples underflow.
    log_p = -uncertainty
    peak = log_p.max()
    p = np.exp(log_p - peak)
    shared = np.maximum((p * similarity * (1 - np.eye(p.size))).sum(-1), 0) / t
    return float(-(np.log(np.maximum(p + shared, np.finfo(float).tiny)) + peak).mean())


def eigen_score(hidden_state: FloatArray, *, alpha: float = 1e-3) -> float:
    """EigenScore, mean log-eigenvalue of the samples' covariance (INSIDE, Chen et al. 2024, arXiv 2402.03744, eq. 4 to 6).

    Args:
        hidden_state: (k, D) of the samples.
        alpha: regularization, added to the diagonal; the paper's 0.001.
    """
    centered = hidden_state - hidden_state.mean(-1, keepdims=True)
    covariance = centered @ centered.T + alpha * np.eye(len(centered))
    return float(np.log(np.maximum(np.linalg.eigvalsh(covariance), 1e-10)).mean())


def selfcheck_ngram(sentences: Sequence[str], samples: Sequence[str]) -> float:
    """Mean over sentences of the largest -log P(word), in nats (SelfCheckGPT, Manakul et al. 2023, arXiv 2303.08896, eq. 5).

    P is a unigram model of the samples and the answer; a text without words scores 0.
    """
    words_of = [_words(sentence) for sentence in sentences]
    counts = Counter(word for text in samples for word in _words(text))
    counts.update(word for words in words_of for word in words)
    total = sum(counts.values())
    rarest = [max(np.log(total / counts[word]) for word in words) for words in words_of if words]
    return float(np.mean(rarest)) if rarest else 0.0


def selfcheck_nli(sentence_entailment: FloatArray) -> float:
    """Mean probability that a sample contradicts a sentence, in [0, 1] (arXiv 2303.08896, eq. 8).

    Args:
        sentence_entailment: (S, k, 3); the probability is that of the first two columns alone, as in the paper.
    """
    support, refutation = sentence_entailment[..., 0], sentence_entailment[..., 1]
    decided = support + refutation
    # A verifier that is certain of "not enough information" is evidence neither for nor against.
    return float(np.where(decided > 0, refutation / np.where(decided > 0, decided, 1), 0.5).mean())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _mean_logprob(logprobs: Sequence[FloatArray]) -> FloatArray:
    """(k,) mean log-probability of a token of each text; 0 for a text without tokens."""
    return np.array([values.mean() if values.size else 0.0 for values in logprobs])


def _each(score: Callable[..., float], *columns: Sequence[object] | FloatArray) -> FloatArray:
    return np.array([score(*row) for row in zip(*columns, strict=True)], dtype=np.float64)


def _semantic_entropy(statistics: Statistics) -> FloatArray:
    """Entropy over the meanings of the samples (Kuhn et al. 2023, arXiv 2302.09664), in nats."""
    sets = [semantic_sets(matrix) for matrix in statistics.entailment]
    return _each(semantic_entropy, [_mean_logprob(drawn) for drawn in statistics.sample_logprobs], sets)


def _discrete_semantic_entropy(statistics: Statistics) -> FloatArray:
    """Entropy of how often each meaning is drawn (Farquhar et al. 2024, Nature 630), in nats; needs no probabilities."""
    return _each(lambda matrix: discrete_semantic_entropy(semantic_sets(matrix)), statistics.entailment)


def _number_of_semantic_sets(statistics: Statistics) -> FloatArray:
    """Number of meanings among the samples (Lin et al. 2023, arXiv 2305.19187, section 4.1)."""
    return _each(lambda matrix: float(semantic_sets(matrix).max() + 1), statistics.entailment)


def _lexical_similarity(statistics: Statistics) -> FloatArray:
    """Negative mean ROUGE-L over pairs of samples (arXiv 2005.10608)."""
    return -_each(lexical_similarity, statistics.samples)


def _semantic_density(statistics: Statistics) -> FloatArray:
    """Negative density of the answer among the samples (Qiu & Miikkulainen 2024, arXiv 2405.13845)."""
    return -_each(
        semantic_density,
        statistics.samples,
        [_mean_logprob(drawn) for drawn in statistics.sample_logprobs],
        _mean_logprob(statistics.token_logprobs),
        statistics.answer_entailment[:, :, 0],
    )


def _sentence_sar(statistics: Statistics) -> FloatArray:
    """SentenceSAR: uncertainty of samples, reduced where similar samples agree (Duan et al. 2023, arXiv 2307.01379)."""
    totals = [np.array([-logprobs.sum() for logprobs in drawn]) for drawn in statistics.sample_logprobs]
    return _each(sentence_sar, totals, statistics.sample_similarity)


def _sar(statistics: Statistics) -> FloatArray:
    """SAR: SentenceSAR on the tokens that matter (Duan et al. 2023, arXiv 2307.01379)."""
    totals = [
        np.array([token_sar(logprobs, relevance).sum() for logprobs, relevance in zip(drawn, weights, strict=True)])
        for drawn, weights in zip(statistics.sample_logprobs, statistics.sample_relevance, strict=True)
    ]
    return _each(sentence_sar, totals, statistics.sample_similarity)


def _eigen_score(statistics: Statistics) -> FloatArray:
    """EigenScore: spread of the samples' hidden states (INSIDE, Chen et al. 2024, arXiv 2402.03744)."""
    return _each(eigen_score, statistics.sample_hidden_state)


def _selfcheck_ngram(statistics: Statistics) -> FloatArray:
    """SelfCheckGPT with a unigram model (Manakul et al. 2023, arXiv 2303.08896), in nats."""
    return _each(selfcheck_ngram, [sentences_of(answer) for answer in statistics.answers], statistics.samples)


def _selfcheck_nli(statistics: Statistics) -> FloatArray:
    """SelfCheckGPT with the verifier: do samples contradict the sentences (arXiv 2303.08896)?"""
    return _each(selfcheck_nli, statistics.sentence_entailment)


def _selfcheck_prompt(statistics: Statistics) -> FloatArray:
    """SelfCheckGPT by asking the model whether samples support the sentences (arXiv 2303.08896): mean P(No)."""
    return _each(lambda no: float(no.mean()), statistics.sentence_no)


def _dissimilarity(statistics: Statistics) -> FloatArray:
    return np.asarray(1 - statistics.answer_similarity.mean(-1))


def _cocoa(statistics: Statistics) -> FloatArray:
    """CoCoA: negative log-probability times dissimilarity to the samples (Vashurin et al. 2025, arXiv 2502.04964)."""
    return _each(lambda logprobs: float(-logprobs.sum()), statistics.token_logprobs) * _dissimilarity(statistics)


def _cocoa_perplexity(statistics: Statistics) -> FloatArray:
    """CoCoA with the mean negative log-probability of a token (arXiv 2502.04964)."""
    return -_mean_logprob(statistics.token_logprobs) * _dissimilarity(statistics)


def _cocoa_entropy(statistics: Statistics) -> FloatArray:
    """CoCoA with the mean token entropy (arXiv 2502.04964)."""
    return _mean_logprob(statistics.token_entropy) * _dissimilarity(statistics)


def sentences_of(answer: str) -> list[str]:
    """Segment an answer into sentences; the answer itself where there is none."""
    from retrieval.split import sentence_spans

    return [answer[start:end] for start, end in sentence_spans(answer)] or [answer]


def _detector(name: str, score: Callable[[Statistics], FloatArray], *needs: Statistic) -> Detector:
    return Detector(name, Family.sampling, frozenset(needs), score)


SEMANTIC_ENTROPY = _detector("semantic_entropy", _semantic_entropy, Statistic.sample_logprobs, Statistic.entailment)
DISCRETE_SEMANTIC_ENTROPY = _detector("discrete_semantic_entropy", _discrete_semantic_entropy, Statistic.entailment)
NUMBER_OF_SEMANTIC_SETS = _detector("number_of_semantic_sets", _number_of_semantic_sets, Statistic.entailment)
LEXICAL_SIMILARITY = _detector("lexical_similarity", _lexical_similarity, Statistic.samples)
SEMANTIC_DENSITY = _detector(
    "semantic_density", _semantic_density, Statistic.logprobs, Statistic.sample_logprobs, Statistic.answer_entailment
)
SENTENCE_SAR = _detector("sentence_sar", _sentence_sar, Statistic.sample_logprobs, Statistic.similarity)
SAR = _detector("sar", _sar, Statistic.sample_logprobs, Statistic.sample_relevance, Statistic.similarity)
EIGEN_SCORE = _detector("eigen_score", _eigen_score, Statistic.sample_hidden_state)
SELFCHECK_NGRAM = _detector("selfcheck_ngram", _selfcheck_ngram, Statistic.samples)
SELFCHECK_NLI = _detector("selfcheck_nli", _selfcheck_nli, Statistic.sentence_entailment)
SELFCHECK_PROMPT = _detector("selfcheck_prompt", _selfcheck_prompt, Statistic.sentence_question)
COCOA = _detector("cocoa", _cocoa, Statistic.logprobs, Statistic.answer_similarity)
COCOA_PERPLEXITY = _detector("cocoa_perplexity", _cocoa_perplexity, Statistic.logprobs, Statistic.answer_similarity)
COCOA_ENTROPY = _detector("cocoa_entropy", _cocoa_entropy, Statistic.distribution, Statistic.answer_similarity)
