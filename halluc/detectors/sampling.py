"""Detectors that compare several answers drawn from the model: what it knows it says again, what it makes up varies.

Each formula is a function of one prompt's arrays; the detectors at the end apply it to every prompt. k is the number of
samples. Entailment matrices are (k, k, 3): probabilities that sample i [supports, refutes, says nothing of] sample j. Not
here: graphs of samples (sample_graph.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from halluc.detectors.detector import Detector, Family, Need
from halluc.detectors.statistics import FloatArray, IntArray, Statistics
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
    """(k,) number of the meaning of each sample: those that entail each other (Kuhn et al. 2023, arXiv 2302.09664, alg. 1).

    A sample joins the first set whose first member it entails and is entailed by, entailment being the likeliest label.
    """
    entails = entailment.argmax(-1) == 0
    first: list[int] = []
    of = np.zeros(len(entails), np.int64)
    for i in range(len(entails)):
        same = (s for s, j in enumerate(first) if entails[i, j] and entails[j, i])
        of[i] = next(same, len(first))
        if of[i] == len(first):
            first.append(i)
    return of


def semantic_entropy(log_likelihood: FloatArray, cluster: IntArray) -> float:
    """Entropy over meanings rather than strings, in nats (arXiv 2302.09664, eq. 3; Farquhar et al. 2024, Nature 630, eq. 5).

    The probability of a meaning is the sum over its samples, normalised over the meanings that were drawn.

    Args:
        log_likelihood: (k,) length-normalised log-probability of each sample.
        cluster: (k,) number of its meaning.
    """
    mass = np.array([np.logaddexp.reduce(log_likelihood[cluster == c]) for c in np.unique(cluster)])
    log_p = mass - np.logaddexp.reduce(mass)
    return float(-(np.exp(log_p) * log_p).sum() + 0.0)


def discrete_semantic_entropy(cluster: IntArray) -> float:
    """Entropy of the shares of samples per meaning, in nats (Farquhar et al. 2024, Nature 630, "discrete")."""
    share = np.bincount(cluster) / cluster.size
    share = share[share > 0]
    return float(-(share * np.log(share)).sum() + 0.0)


def rouge_l(first: str, second: str) -> float:
    """F-measure of the longest common subsequence of words (Lin 2004), in [0, 1]; 1 for two texts without words."""
    a, b = _words(first), _words(second)
    if not a or not b:
        return float(a == b)
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(a) + len(b))


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

    Kernel 1 - d with squared distance d = P(contradiction) + P(neutral) / 2 (eq. 7 and 8), weighted by length-normalised
    probabilities (eq. 9); every distinct sample counts once, and the answer itself at distance 0.

    Args:
        samples: k texts.
        sample_log_likelihood: (k,) mean log-probability of a token.
        answer_log_likelihood: the same of the answer.
        answer_entailment: (k, 3) probabilities that the answer [supports, refutes, says nothing of] sample i.
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
    # In logarithms: long samples have probabilities that a float cannot hold.
    log_p = -uncertainty
    peak = log_p.max()
    p = np.exp(log_p - peak)
    shared = np.maximum((p * similarity * (1 - np.eye(p.size))).sum(-1), 0) / t
    return float(-(np.log(np.maximum(p + shared, np.finfo(float).tiny)) + peak).mean())


def eigen_score(hidden_state: FloatArray, *, alpha: float = 1e-3) -> float:
    """EigenScore, mean log-eigenvalue of the samples' covariance (INSIDE, Chen et al. 2024, arXiv 2402.03744, eq. 4 to 6).

    Args:
        hidden_state: (k, D) of the samples.
        alpha: what is added to the diagonal; the paper's 0.001.
    """
    centred = hidden_state - hidden_state.mean(-1, keepdims=True)
    covariance = centred @ centred.T + alpha * np.eye(len(centred))
    return float(np.log(np.maximum(np.linalg.eigvalsh(covariance), 1e-10)).mean())


def selfcheck_ngram(sentences: Sequence[str], samples: Sequence[str]) -> float:
    """Mean over sentences of the largest -log P(word), in nats (SelfCheckGPT, Manakul et al. 2023, arXiv 2303.08896, eq. 5).

    P is a unigram model of the samples and the answer; a text without words scores 0.
    """
    own = [_words(sentence) for sentence in sentences]
    counts = Counter(word for text in samples for word in _words(text))
    counts.update(word for words in own for word in words)
    total = sum(counts.values())
    rarest = [max(np.log(total / counts[word]) for word in words) for words in own if words]
    return float(np.mean(rarest)) if rarest else 0.0


def selfcheck_nli(sentence_entailment: FloatArray) -> float:
    """Mean probability that a sample contradicts a sentence, in [0, 1] (arXiv 2303.08896, eq. 8).

    Args:
        sentence_entailment: (S, k, 3); the third column, neutral, is left out of the probability, as in the paper.
    """
    support, refutation = sentence_entailment[..., 0], sentence_entailment[..., 1]
    decided = support + refutation
    # A verifier that is certain of "not enough information" says as little for as against.
    return float(np.where(decided > 0, refutation / np.where(decided > 0, decided, 1), 0.5).mean())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _likelihood(logprobs: Sequence[FloatArray]) -> FloatArray:
    """(k,) mean log-probability of a token; 0 for a sample without tokens."""
    return np.array([own.mean() if own.size else 0.0 for own in logprobs])


def _each(score: Callable[..., float], *columns: Sequence[object] | FloatArray) -> FloatArray:
    return np.array([score(*row) for row in zip(*columns, strict=True)], dtype=np.float64)


def _semantic_entropy(statistics: Statistics) -> FloatArray:
    """Entropy over the meanings of the samples (Kuhn et al. 2023, arXiv 2302.09664), in nats."""
    sets = [semantic_sets(matrix) for matrix in statistics.entailment]
    return _each(semantic_entropy, [_likelihood(own) for own in statistics.sample_logprobs], sets)


def _discrete_semantic_entropy(statistics: Statistics) -> FloatArray:
    """Entropy over how often each meaning is drawn (Farquhar et al. 2024, Nature 630), in nats; needs no probabilities."""
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
        [_likelihood(own) for own in statistics.sample_logprobs],
        _likelihood(statistics.token_logprobs),
        statistics.answer_entailment[:, :, 0],
    )


def _sentence_sar(statistics: Statistics) -> FloatArray:
    """SentenceSAR: uncertainty of samples less what similar samples confirm (Duan et al. 2023, arXiv 2307.01379)."""
    totals = [np.array([-own.sum() for own in row]) for row in statistics.sample_logprobs]
    return _each(sentence_sar, totals, statistics.sample_similarity)


def _sar(statistics: Statistics) -> FloatArray:
    """SAR: SentenceSAR on the tokens that matter (Duan et al. 2023, arXiv 2307.01379)."""
    totals = [
        np.array([token_sar(logprobs, relevance).sum() for logprobs, relevance in zip(own, weights, strict=True)])
        for own, weights in zip(statistics.sample_logprobs, statistics.sample_relevance, strict=True)
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
    return _each(lambda own: float(-own.sum()), statistics.token_logprobs) * _dissimilarity(statistics)


def _cocoa_perplexity(statistics: Statistics) -> FloatArray:
    """CoCoA with the mean negative log-probability of a token (arXiv 2502.04964)."""
    return -_likelihood(statistics.token_logprobs) * _dissimilarity(statistics)


def _cocoa_entropy(statistics: Statistics) -> FloatArray:
    """CoCoA with the mean token entropy (arXiv 2502.04964)."""
    return _likelihood(statistics.token_entropy) * _dissimilarity(statistics)


def sentences_of(answer: str) -> list[str]:
    """The sentences of an answer; the whole of it where there is none."""
    from retrieval.sentences import sentence_spans

    return [answer[start:end] for start, end in sentence_spans(answer)] or [answer]


def _detector(name: str, score: Callable[[Statistics], FloatArray], *needs: Need) -> Detector:
    return Detector(name, Family.sampling, frozenset(needs), score)


SEMANTIC_ENTROPY = _detector("semantic_entropy", _semantic_entropy, Need.sample_logprobs, Need.entailment)
DISCRETE_SEMANTIC_ENTROPY = _detector("discrete_semantic_entropy", _discrete_semantic_entropy, Need.entailment)
NUMBER_OF_SEMANTIC_SETS = _detector("number_of_semantic_sets", _number_of_semantic_sets, Need.entailment)
LEXICAL_SIMILARITY = _detector("lexical_similarity", _lexical_similarity, Need.samples)
SEMANTIC_DENSITY = _detector(
    "semantic_density", _semantic_density, Need.logprobs, Need.sample_logprobs, Need.answer_entailment
)
SENTENCE_SAR = _detector("sentence_sar", _sentence_sar, Need.sample_logprobs, Need.similarity)
SAR = _detector("sar", _sar, Need.sample_logprobs, Need.sample_relevance, Need.similarity)
EIGEN_SCORE = _detector("eigen_score", _eigen_score, Need.sample_hidden_state)
SELFCHECK_NGRAM = _detector("selfcheck_ngram", _selfcheck_ngram, Need.samples)
SELFCHECK_NLI = _detector("selfcheck_nli", _selfcheck_nli, Need.sentence_entailment)
SELFCHECK_PROMPT = _detector("selfcheck_prompt", _selfcheck_prompt, Need.sentence_question)
COCOA = _detector("cocoa", _cocoa, Need.logprobs, Need.answer_similarity)
COCOA_PERPLEXITY = _detector("cocoa_perplexity", _cocoa_perplexity, Need.logprobs, Need.answer_similarity)
COCOA_ENTROPY = _detector("cocoa_entropy", _cocoa_entropy, Need.distribution, Need.answer_similarity)
