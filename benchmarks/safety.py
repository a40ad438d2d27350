"""Run the benchmarks of `halluc eval` and the attacks of `halluc redteam` with and without each mitigation.

Prints one JSON line per figure with its 95 % interval and number of rows. Data is a folder with the files named in `ROWS`; a
benchmark without its files is left out and named. With --runs, every run and every reply is kept in a folder: what is there
already is printed again without being computed, a stopped run is resumed, and mitigations that differ only after the reply
share it.

    python benchmarks/safety.py --data DATA --part index --index my.index    # CLAP NQ, XQuAD, supported facts of FActScore
    python benchmarks/safety.py --data DATA --part benchmarks --index my.index --mitigations none,grounded,abstain,cove
    python benchmarks/safety.py --data DATA --part attacks --index my.index --limit 300
    python benchmarks/safety.py --data DATA --part speed
    python benchmarks/safety.py --data DATA --part harness     # needs lm_eval
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from figures import read_rows, show
from remembering import Remembering
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
    "truthfulqa_generation": ["truthfulqa/questions.jsonl"],
    "toxigen_generation": ["toxigen/rows.jsonl"],
    "factscore": ["factscore/rows.jsonl"],
    "longfact": ["longfact/rows.jsonl"],
    "xquad": ["xquad/questions.jsonl"],
}  # fmt: skip
# XQuAD has the format of TriviaQA. Unlike the questions of other benchmarks, an index of its passages answers its questions.
BENCHMARK_OF = {"xquad": "triviaqa"}
ATTACKS = {
    "jailbreak": ["harmbench/behaviors.jsonl"],
    "encoding": ["harmbench/behaviors.jsonl"],
    "multi_step": ["harmbench/behaviors.jsonl"],
    "multilingual": ["multijail/prompts.jsonl"],
    "injection": ["bipia/email_train.jsonl", "bipia/table_train.jsonl", "bipia/code_train.jsonl"],
    "injection_xquad": ["xquad/questions.jsonl"],
}
# Injections into passages that answer the question, so that the answers a defense costs are seen too.
FAMILY_OF = {"injection_xquad": "injection"}
DEFENSES = (
    "none", "no passages", "block", "reminder", "datamarking", "encoding", "filter", "perplexity", "canary", "support"
)  # fmt: skip
GROUNDED = ("grounded", "grounded with support", "grounded without abstention")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the files of ROWS and ATTACKS")
    parser.add_argument("--part", choices=["index", "benchmarks", "attacks", "speed", "harness"], default="benchmarks")
    parser.add_argument("--names", default=None, help="benchmarks or families, separated by commas; all by default")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto", help="of the model's weights: auto, float32 or bfloat16")
    parser.add_argument("--index", type=Path, default=None, help="index for the mitigations")
    parser.add_argument("--mitigations", default="none", help="of benchmarks, separated by commas, none first")
    parser.add_argument(
        "--defenses",
        default=",".join(DEFENSES + GROUNDED),
        help="separated by commas; families other than injection have none and the grounded ones, which need --index",
    )
    parser.add_argument("--runs", type=Path, default=None, help="folder of runs, from which a stopped benchmark is resumed")
    parser.add_argument("--max-new-tokens", type=int, default=48, help="longest reply to an attack")
    parser.add_argument("--limit", type=int, default=100, help="rows per benchmark, attacks per family")
    arguments = parser.parse_args()

    if arguments.part == "index":
        _build_index(arguments)
        return
    from halluc import load_model

    lm = load_model(arguments.model, dtype=arguments.dtype)
    if arguments.runs is not None:
        arguments.runs.mkdir(parents=True, exist_ok=True)
        # The model itself stays, whose likelihoods share the beginnings of prompts.
        lm.generate = Remembering(lm, arguments.runs / f"replies-{lm.name}.jsonl", batch=32).generate
    parts = {"benchmarks": _benchmarks, "attacks": _attacks, "speed": _speed, "harness": _harness}
    parts[arguments.part](lm, arguments)


def _build_index(arguments) -> None:
    """Index what answers the questions of CLAP NQ and XQuAD, and what people found true in biographies of FActScore."""
    from retrieval import Passage, PassageIndex

    passages = {}
    for i, row in enumerate(read_rows(arguments.data / "clapnq/questions.jsonl")):
        passages[row["passage"]] = Passage(f"clapnq-{i}", row["passage"], title=row["title"])
    for row in read_rows(arguments.data / "xquad/passages.jsonl"):
        passages[row["text"]] = Passage(row["id"], row["text"], title=row["title"])
    facts: dict[str, dict[str, None]] = {}
    for row in read_rows(arguments.data / "factscore/rows.jsonl"):
        labelled = [fact for sentence in row["annotations"] or [] for fact in sentence["human-atomic-facts"] or []]
        facts.setdefault(row["topic"], {}).update({fact["text"]: None for fact in labelled if fact["label"] == "S"})
    for topic, known in facts.items():
        for i, text in enumerate(_in_parts(list(known), 1000)):
            passages[text] = Passage(f"{topic}-{i}", text, title=topic)
    PassageIndex.build(arguments.index, list(passages.values()))
    show("passages", n=len(passages))


def _in_parts(sentences: list[str], characters: int) -> list[str]:
    parts = [""]
    for sentence in sentences:
        if parts[-1] and len(parts[-1]) + len(sentence) > characters:
            parts.append("")
        parts[-1] = f"{parts[-1]} {sentence}".strip()
    return [part for part in parts if part]


def _benchmarks(lm, arguments) -> None:
    from halluc import load_verifier
    from halluc.errors import InvalidInput
    from halluc.evaluation.answering import System
    from halluc.evaluation.benchmark import Tools
    from halluc.evaluation.harm_judges import load_harm_judge
    from halluc.evaluation.rows import read_benchmark_rows
    from halluc.evaluation.run_record import EvaluationRun, compare_runs
    from halluc.evaluation.runner import run_benchmark
    from halluc.evaluation.table import load_benchmark
    from retrieval import PassageIndex

    index = PassageIndex.open(arguments.index) if arguments.index else None
    verifier = load_verifier() if index is not None else None
    cache = arguments.runs / "outcomes" if arguments.runs is not None else None
    for name in _names(arguments, ROWS):
        benchmark = load_benchmark(BENCHMARK_OF.get(name, name))
        judge = load_harm_judge("lm" if "statement_judge" in benchmark.needs else "refusal", lm=lm)
        rows, _ = read_benchmark_rows(benchmark, _files(arguments, ROWS[name]), limit=arguments.limit)
        tools = Tools(judge, verifier, index)
        before = None
        for mitigation in arguments.mitigations.split(","):
            system = System(lm, mitigation, index, verifier)
            compute = partial(run_benchmark, benchmark, rows, system, tools=tools, cache=cache)
            try:
                run = _kept(arguments, f"{name}-{mitigation}-{len(rows)}-{lm.name}.json", EvaluationRun.load, compute)
            except InvalidInput as error:
                print(f"{name} with {mitigation} left out: {error}", file=sys.stderr)
                continue
            before = run if mitigation == "none" else before
            changes = compare_runs(benchmark, before, run) if before is not None and run is not before else []
            _print_figures(run.figures, changes, benchmark=name, model=lm.name, mitigation=mitigation)


def _attacks(lm, arguments) -> None:
    """Injections on the model with each defense; other attacks on the model alone; and all on the grounded model."""
    from halluc.files import read_rows
    from halluc.redteam.run import RedTeamRun, compare_runs, make_attacks

    for name in _names(arguments, ATTACKS):
        family = FAMILY_OF.get(name, name)
        rows = [row for path in _files(arguments, ATTACKS[name]) for row in read_rows(path)]
        if name == "injection_xquad":
            rows = _with_contexts(arguments, rows)
        attacks = make_attacks(family, rows, limit=arguments.limit)
        before = None
        for defense in arguments.defenses.split(","):
            if (defense in GROUNDED and arguments.index is None) or (
                family != "injection" and defense not in ("none", *GROUNDED)
            ):
                continue
            compute = partial(_run_attacks, lm, arguments, defense, rows, attacks)
            run = _kept(arguments, f"{name}-{defense}-{len(attacks)}-{lm.name}.jsonl", RedTeamRun.load, compute)
            before = run if defense == "none" else before
            changes = compare_runs(before, run) if before is not None and run is not before else []
            rates = list(run.rates)
            if family == "injection":
                rates[1:1] = _indirect(run, rows)
            _print_figures(rates, changes, model=lm.name, defense=defense)


def _with_contexts(arguments, rows):
    texts = {row["id"]: row["text"] for row in read_rows(arguments.data / "xquad/passages.jsonl")}
    return [(where, {**row, "context": texts[row["passage_id"]]}) for where, row in rows]


def _indirect(run, rows) -> list:
    """What indirect injections did: how often they were followed, and replies beside them."""
    from halluc.evaluation.figures import measure, share
    from halluc.grading.correctness import gives_answer

    attempts = [attempt for attempt in run.attempts if attempt.attack.technique != "direct"]
    figures = [
        share("injection, indirect", [attempt.success for attempt in attempts]),
        share("replies, indirect", [bool(attempt.reply.strip()) for attempt in attempts]),
    ]
    references = {row["question"].strip(): row["answers"] for _, row in rows if "answers" in row}
    if references:
        right = [gives_answer(attempt.reply, references[attempt.attack.turns[-1]]) for attempt in attempts]
        figures.append(share("right answers, indirect", right))
    return [measure(figure, len(attempts)) for figure in figures]


def _run_attacks(lm, arguments, defense: str, rows, attacks):
    from halluc.evaluation.harm_judges import load_harm_judge
    from halluc.redteam.run import run_attacks

    return run_attacks(_target(lm, arguments, defense, rows), attacks, load_harm_judge("refusal"), defense=defense)


def _target(lm, arguments, defense: str, rows):
    from dataclasses import replace

    from halluc import load_verifier
    from halluc.grounding.answerability import DEFAULT_THRESHOLD
    from halluc.redteam.injection import context_text
    from halluc.redteam.passage_filters import CanaryFilter, PerplexityFilter
    from halluc.redteam.targets import ChatTarget, GroundedTarget
    from retrieval import PassageIndex

    tokens = arguments.max_new_tokens
    if defense.startswith("grounded"):
        return GroundedTarget(
            lm,
            PassageIndex.open(arguments.index),
            verifier=load_verifier(),
            min_support=0.5 if defense.endswith("support") else 0.0,
            min_answerability=0.0 if defense.endswith("abstention") else DEFAULT_THRESHOLD,
            max_new_tokens=tokens,
        )
    if defense == "no passages":

        class WithoutPassages(ChatTarget):
            def run(self, attacks):
                return super().run([replace(attack, passages=()) for attack in attacks])

        return WithoutPassages(lm, max_new_tokens=tokens)
    passage_filter = None
    if defense == "perplexity":
        # A twentieth of the contexts sets the threshold.
        passage_filter = PerplexityFilter.fit(lm, [context_text(row, where) for where, row in rows[::20]])
    elif defense == "canary":
        passage_filter = CanaryFilter(lm)
    verifier = load_verifier() if defense == "support" else None
    return ChatTarget(lm, defense=defense, verifier=verifier, passage_filter=passage_filter, max_new_tokens=tokens)


def _kept(arguments, name: str, load, compute):
    """The run of that name in the folder of runs; computed, and saved there, if there is none."""
    if arguments.runs is None:
        return compute()
    path = arguments.runs / name.replace(" ", "_")
    if not path.exists():
        compute().save(path)
    return load(path)


def _print_figures(figures, changes, **values) -> None:
    change_of = {change.name: change for change in changes}
    for figure in figures:
        change = change_of.get(figure.name)
        paired = {} if change is None else {"change": change.change, "interval of the change": [change.low, change.high]}
        show(figure.name, **values, value=figure.value, interval=[figure.low, figure.high], n=figure.n, **paired)


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
