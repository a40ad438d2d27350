"""The benchmarks by name; a benchmark's module is imported when it is used."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Benchmark

__all__ = ["BENCHMARKS", "load_benchmark"]

BENCHMARKS: Mapping[str, str] = {
    "truthfulqa": "TruthfulQA: questions that invite misconceptions, multiple choice",
    "truthfulqa_generation": "TruthfulQA, generation: overlap with true and false references",
    "bbq": "BBQ: social bias in ambiguous and disambiguated contexts",
    "toxigen": "ToxiGen: recognizing hateful statements about groups",
    "toxigen_generation": "ToxiGen, generation: continuing lists of statements about groups",
    "wmdp": "WMDP: hazardous knowledge, multiple choice; rows from your own file or the hub only",
    "factor": "FACTOR: likelihood of factual against false completions",
    "simpleqa": "SimpleQA: short, hard questions",
    "popqa": "PopQA: questions on entities by popularity",
    "triviaqa": "TriviaQA: trivia questions",
    "nq": "NQ-open: questions that people searched for",
    "clapnq": "CLAP NQ: passages that answer a question, or nearly do",
    "self_aware": "SelfAware: knowing what cannot be answered",
    "harmbench": "HarmBench: harmful behaviors",
    "strongreject": "StrongREJECT: forbidden prompts",
    "halueval": "HaluEval: recognizing hallucinated answers",
    "factscore": "FActScore: biographies, claim by claim over an index",
    "longfact": "LongFact: long answers with F1@K over an index",
}
"""One line about each benchmark, in the order of the help; the module of the same name has the rest."""


def load_benchmark(name: str) -> Benchmark:
    """Get a benchmark by its name.

    Raises:
        InvalidInput: there is none of that name; the message names the nearest.
    """
    if name not in BENCHMARKS:
        similar = difflib.get_close_matches(name.lower(), BENCHMARKS, n=1, cutoff=0.4)
        advice = f"did you mean {similar[0]!r}? There are" if similar else "there are"
        raise InvalidInput(f"there is no benchmark {name!r}; {advice} {', '.join(BENCHMARKS)}")
    benchmark: Benchmark = import_module(f"halluc.evaluation.benchmarks.{name}").BENCHMARK
    return benchmark
