"""The likelihood benchmarks in lm-evaluation-harness and here, on the same rows and with the same model in one process.

Used by safety.py. Three comparisons, each with the largest difference of a log-likelihood and the figures of both sides:

    truthfulqa, bbq        the harness gets the prompts and answers of this project
    ... as shipped         this project scores the prompts and answers of the harness's own task

The harness needs `pip install lm_eval`; it is no dependency of this project. Rows are local, so no hub is reached. Its
scores differ from those of `halluc eval` where the task as shipped differs: other examples before the question, and in BBQ
"Q:" for "Question:" and ten wordings of "unknown" instead of that of the row. They may also differ in MC1, where the harness
counts a tie as right if the true answer comes first, in MC2, where it adds probabilities that may underflow, and in the bias
scores of BBQ, where a model without a biased answer gets 0 there and -1 here.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from figures import show

BATCH = 16


def compare_with_harness(lm, rows: dict[str, list]) -> None:
    """Print the comparisons for the benchmarks that have rows."""
    for name in rows:
        for shipped in (False, True):
            {"truthfulqa": _truthfulqa, "bbq": _bbq}[name](lm, rows[name], shipped=shipped)


def _truthfulqa(lm, rows, *, shipped: bool) -> None:
    import numpy as np

    from halluc.evaluation.benchmarks.truthfulqa import PRIMER, mc1, mc2

    docs = [
        {"question": row["question"], **{name: _hub_form(row[name]) for name in ("mc1_targets", "mc2_targets")}}
        for _, row in rows
    ]
    change = {} if shipped else {"doc_to_text": PRIMER + "Q: {{question}}\nA:"}
    tasks = {name: {"include": f"truthfulqa/{name}.yaml", **change} for name in ("truthfulqa_mc1", "truthfulqa_mc2")}
    theirs = _run_harness(lm, tasks, docs, "validation")
    ours = _run_ours(lm, theirs)
    first, second = (ours.logprobs[name] for name in tasks)
    labels = [[doc[f"mc{i}_targets"]["labels"] for doc in docs] for i in (1, 2)]
    figures = {
        "MC1": (float(np.mean(list(map(mc1, first, labels[0])))), theirs.results["truthfulqa_mc1"]["acc,none"]),
        "MC2": (float(np.mean(list(map(mc2, second, labels[1])))), theirs.results["truthfulqa_mc2"]["acc,none"]),
    }
    _report("truthfulqa", lm, len(docs), ours, theirs, figures, shipped=shipped)


def _hub_form(targets: dict[str, int]) -> dict[str, list]:
    return {"choices": list(targets), "labels": list(targets.values())}


def _bbq(lm, rows, *, shipped: bool) -> None:
    import numpy as np

    docs = [row for _, row in rows]
    change = {
        "doc_to_text": "{{context}}\nQuestion: {{question}}\nAnswer:",
        "doc_to_choice": "{{[ans0, ans1, ans2]}}",
        "doc_to_target": "label",
        "process_results": None,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    tasks = {"bbq": {"include": "bbq/bbq_multiple_choice.yaml", **({} if shipped else change)}}
    theirs = _run_harness(lm, tasks, docs, "test")
    ours = _run_ours(lm, theirs)
    chosen = [int(np.argmax(logprobs)) for logprobs in ours.logprobs["bbq"]]
    if shipped:
        # Their choices are the two persons in the order of the row, and then wordings of "unknown".
        persons = [[i for i in range(3) if doc["answer_info"][f"ans{i}"][-1] != "unknown"] for doc in docs]
        correct = [
            p.index(d["label"]) == c if d["label"] in p else c > 1 for c, p, d in zip(chosen, persons, docs, strict=True)
        ]
    else:
        correct = [choice == doc["label"] for choice, doc in zip(chosen, docs, strict=True)]
    figures = {"accuracy": (float(np.mean(correct)), theirs.results["bbq"]["acc,none"])}
    _report("bbq", lm, len(docs), ours, theirs, figures, shipped=shipped)


def _run_harness(lm, tasks: dict[str, dict], docs: list[dict], split: str):
    """Run tasks of the harness on local rows, and time its scoring."""
    # Set before the import: the harness and `datasets` look for the hub when they are imported.
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    own_tasks = Path(lm_eval.__file__).parent / "tasks"
    model = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=BATCH, backend="causal")
    clock = SimpleNamespace(wall=0.0, cpu=0.0)
    score = model._loglikelihood_tokens

    def timed(*arguments, **options):
        with _timed(clock):
            return score(*arguments, **options)

    model._loglikelihood_tokens = timed
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        rows.write_text("".join(json.dumps(doc) + "\n" for doc in docs), encoding="utf-8")
        paths = []
        for name, task in tasks.items():
            config = {
                **task,
                "include": str(own_tasks / task["include"]),
                "task": f"local_{name}",
                "dataset_path": "json",
                "dataset_name": None,
                "dataset_kwargs": {"data_files": {split: str(rows)}, "cache_dir": folder},
            }
            paths.append(Path(folder) / f"{name}.yaml")
            # JSON is YAML.
            paths[-1].write_text(json.dumps(config), encoding="utf-8")
        output = lm_eval.simple_evaluate(
            model=model, tasks=[str(path) for path in paths], task_manager=TaskManager(), bootstrap_iters=0, log_samples=True
        )
    samples = {name: sorted(output["samples"][f"local_{name}"], key=lambda sample: sample["doc_id"]) for name in tasks}
    return SimpleNamespace(
        results={name: output["results"][f"local_{name}"] for name in tasks},
        requests={name: [_request(sample) for sample in samples[name]] for name in tasks},
        logprobs={
            name: [[float(reply[0]) for reply in sample["filtered_resps"]] for sample in samples[name]] for name in tasks
        },
        clock=clock,
    )


def _request(sample) -> tuple[str, list[str]]:
    """The context of a sample and its continuations, as the harness scored them."""
    return sample["arguments"][0][0], [continuation for _, continuation in sample["arguments"]]


def _run_ours(lm, theirs):
    """Score the harness's requests here. What several tasks ask with the same context is one query, as in `halluc eval`."""
    from halluc.models.prefix_scoring import Choices, score_choices

    clock = SimpleNamespace(wall=0.0, cpu=0.0)
    asked: dict[str, dict[str, None]] = {}
    for requests in theirs.requests.values():
        for context, continuations in requests:
            asked.setdefault(context, {}).update(dict.fromkeys(continuations))
    with _timed(clock):
        scores = score_choices(lm, [Choices(context, tuple(continuations)) for context, continuations in asked.items()])
    found = {
        (context, continuation): score.logprob
        for (context, continuations), row in zip(asked.items(), scores, strict=True)
        for continuation, score in zip(continuations, row, strict=True)
    }
    logprobs = {
        name: [[found[context, continuation] for continuation in continuations] for context, continuations in requests]
        for name, requests in theirs.requests.items()
    }
    return SimpleNamespace(logprobs=logprobs, clock=clock)


@contextmanager
def _timed(clock) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    clock.wall += time.perf_counter() - wall
    clock.cpu += time.process_time() - cpu


def _report(name: str, lm, n: int, ours, theirs, figures, *, shipped: bool) -> None:
    pairs = [
        (a, b)
        for task in theirs.logprobs
        for row_ours, row_theirs in zip(ours.logprobs[task], theirs.logprobs[task], strict=True)
        for a, b in zip(row_ours, row_theirs, strict=True)
    ]
    difference = max(abs(a - b) for a, b in pairs)
    values = {
        "n": n,
        "log-likelihoods": len(pairs),
        # Written out, since figures are rounded to three decimals.
        "largest difference of a log-likelihood": f"{difference:.1e}",
        "largest relative difference": f"{max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs):.1e}",
    }
    for figure, (here, there) in figures.items():
        values |= {figure: here, f"{figure} of the harness": there, f"{figure} differs by": f"{abs(here - there):.1e}"}
    values |= {"seconds": ours.clock.wall, "seconds of the harness": theirs.clock.wall,
               "CPU seconds": ours.clock.cpu, "CPU seconds of the harness": theirs.clock.cpu,
               "ratio": theirs.clock.cpu / ours.clock.cpu}  # fmt: skip
    show(f"harness: {name}{', as shipped' if shipped else ', prompts of this project'}", model=lm.name, **values)
