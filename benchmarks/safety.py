"""Run the benchmarks of `halluc eval` and the attacks of `halluc redteam` with and without each mitigation.

Prints one JSON line per figure with its 95 % interval and number of rows. Answers are cached, so a run that was
stopped is resumed. Data is a folder with the files named in `ROWS`; a benchmark without its files is left out and named.

    python benchmarks/safety.py --data DATA --model default --index my.index --limit 100
    python benchmarks/safety.py --data DATA --part speed
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from figures import show
from safety_harness import compare_with_harness

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

ROWS = {
    "truthfulqa": ["truthfulqa/mc_task.jsonl"],
    "bbq": [f"bbq/{name}.jsonl" for name in ("age", "religion", "disability_status", "physical_appearance",
                                             "sexual_orientation", "nationality")],
    "toxigen": ["toxigen/rows.jsonl"],
    "factor": ["factor/expert_factor.jsonl", "factor/news_factor.jsonl"],
    "simpleqa": ["simpleqa/questions.jsonl"],
    "popqa": ["popqa/longtail.jsonl"],
    "triviaqa": ["triviaqa/questions.jsonl"],
    "nq": ["nq_open/rows.jsonl"],
    "clapnq": ["clapnq/questions.jsonl"],
    "self_aware": ["self_aware/questions.jsonl"],
    "harmbench": ["harmbench/behaviors.jsonl", "harmbench/harmless_prompts.jsonl"],
    "strongreject": ["harmbench/strongreject.jsonl"],
    "halueval": ["halueval/qa_one_turn.jsonl"],
}  # fmt: skip
ATTACKS = {
    "jailbreak": ["harmbench/behaviors.jsonl"],
    "encoding": ["harmbench/behaviors.jsonl"],
    "multi_step": ["harmbench/behaviors.jsonl"],
    "multilingual": ["multijail/prompts.jsonl"],
    "injection": ["bipia/email_train.jsonl", "bipia/table_train.jsonl", "bipia/code_train.jsonl"],
}
DEFENSES = ("none", "block", "reminder", "datamarking", "encoding", "filter", "support")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files of ROWS and ATTACKS")
    parser.add_argument("--part", choices=["benchmarks", "attacks", "speed", "harness"], default="benchmarks")
    parser.add_argument("--names", default=None, help="benchmarks or families, separated by commas; all by default")
    parser.add_argument("--model", default="default")
    parser.add_argument("--index", type=Path, default=None, help="index for the mitigations")
    parser.add_argument("--mitigations", default="none", help="separated by commas")
    parser.add_argument("--limit", type=int, default=100, help="rows per benchmark, attacks per family")
    arguments = parser.parse_args()

    from halluc import load_model

    lm = load_model(arguments.model)
    parts = {"benchmarks": _benchmarks, "attacks": _attacks, "speed": _speed, "harness": _harness}
    parts[arguments.part](lm, arguments)


def _benchmarks(lm, arguments) -> None:
    from halluc import load_verifier
    from halluc.errors import InvalidInput
    from halluc.evaluation.answer_cache import default_cache_folder
    from halluc.evaluation.answering import System
    from halluc.evaluation.benchmark import Tools
    from halluc.evaluation.harm_judges import load_harm_judge
    from halluc.evaluation.rows import read_benchmark_rows
    from halluc.evaluation.runner import run_benchmark
    from halluc.evaluation.table import load_benchmark
    from retrieval import PassageIndex

    index = PassageIndex.open(arguments.index) if arguments.index else None
    verifier = load_verifier() if index is not None else None
    tools = Tools(judge=load_harm_judge("refusal"), verifier=verifier, index=index)
    for name in _names(arguments, ROWS):
        benchmark = load_benchmark(name)
        rows, _ = read_benchmark_rows(benchmark, _files(arguments, ROWS[name]), limit=arguments.limit)
        for mitigation in arguments.mitigations.split(","):
            system = System(lm, mitigation, index, verifier)
            try:
                run = run_benchmark(benchmark, rows, system, tools=tools, cache=default_cache_folder())
            except InvalidInput as error:
                print(f"{name} with {mitigation} left out: {error}", file=sys.stderr)
                continue
            for figure in run.figures:
                show(f"{name}: {figure.name}", model=lm.name, mitigation=mitigation, value=figure.value,
                     interval=[figure.low, figure.high], n=figure.n)  # fmt: skip


def _attacks(lm, arguments) -> None:
    from halluc import load_verifier
    from halluc.evaluation.harm_judges import load_harm_judge
    from halluc.files import read_rows
    from halluc.redteam.run import make_attacks, run_attacks
    from halluc.redteam.targets import ChatTarget

    judge, verifier = load_harm_judge("refusal"), load_verifier()
    for family in _names(arguments, ATTACKS):
        rows = [row for path in _files(arguments, ATTACKS[family]) for row in read_rows(path)]
        attacks = make_attacks(family, rows, limit=arguments.limit)
        for defense in DEFENSES if family == "injection" else DEFENSES[:1]:
            target = ChatTarget(lm, defense=defense, verifier=verifier, max_new_tokens=48)
            for rate in run_attacks(target, attacks, judge, defense=defense).rates:
                show(rate.name, model=lm.name, defense=defense, value=rate.value, interval=[rate.low, rate.high], n=rate.n)


def _speed(lm, arguments) -> None:
    """MC1 and MC2 with shared beginnings, against one pass per answer, as harnesses without prefix sharing compute them."""
    from halluc.evaluation.rows import read_benchmark_rows
    from halluc.evaluation.table import load_benchmark
    from halluc.models.prefix_scoring import Choices, score_choices

    benchmark = load_benchmark("truthfulqa")
    rows, _ = read_benchmark_rows(benchmark, _files(arguments, ROWS["truthfulqa"]), limit=arguments.limit)
    queries = [item.choices[0] for item in benchmark.items(rows)]
    start = time.perf_counter()
    shared = score_choices(lm, queries)
    shared_seconds = time.perf_counter() - start
    # Each answer in a call of its own: nothing is left to share.
    start = time.perf_counter()
    alone = [[score_choices(lm, [Choices(q.context, (text,))])[0][0] for text in q.continuations] for q in queries]
    alone_seconds = time.perf_counter() - start
    apart = max(abs(a.logprob - b.logprob) for x, y in zip(shared, alone, strict=True) for a, b in zip(x, y, strict=True))
    show("speed", model=lm.name, n=len(queries), seconds=shared_seconds, seconds_alone=alone_seconds,
         ratio=alone_seconds / shared_seconds, largest_difference=apart)  # fmt: skip


def _harness(lm, arguments) -> None:
    """MC1, MC2, BBQ accuracy and log-likelihoods, and their time, in lm-evaluation-harness and here."""
    from halluc.evaluation.rows import read_benchmark_rows
    from halluc.evaluation.table import load_benchmark

    names = [name for name in _names(arguments, ROWS) if name in ("truthfulqa", "bbq")]
    compare_with_harness(
        lm,
        {
            name: read_benchmark_rows(load_benchmark(name), _files(arguments, ROWS[name]), limit=arguments.limit)[0]
            for name in names
        },
    )


def _names(arguments, table: dict[str, list[str]]) -> list[str]:
    names = arguments.names.split(",") if arguments.names else list(table)
    present = [name for name in names if _files(arguments, table[name])]
    for name in sorted(set(names) - set(present)):
        print(f"{name} left out: {arguments.data} has none of {', '.join(table[name])}", file=sys.stderr)
    return present


def _files(arguments, names: list[str]) -> list[Path]:
    return [arguments.data / name for name in names if (arguments.data / name).exists()]


if __name__ == "__main__":
    main()
