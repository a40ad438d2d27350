"""Processor time of short commands, from the start of Python to their end, with files and packages in the disk cache.

`ask, first token` writes one token and no verdicts: the time until an answer begins. Prints one JSON line per command: the
median and the least seconds of user and system time over the rounds.

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from figures import show

EXAMPLES = Path(__file__).parent.parent / "examples"
QUESTION = "Who led the Panthers in sacks?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="smollm2-135m")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "xquad.index"
        _seconds(["index", "build", EXAMPLES / "xquad" / "passages.jsonl", "--out", index])
        ask = ["ask", QUESTION, "--index", index, "--model", arguments.model]
        commands = {
            "help": (["--help"], None),
            "check": (
                ["check", EXAMPLES / "check" / "answer.txt", "--context", EXAMPLES / "check" / "source.txt"],
                4.0,
            ),
            "ask, first token": ([*ask, "--max-new-tokens", "1", "--verifier", "none"], 6.0),
            "ask": (ask, None),
            "index search": (["index", "search", QUESTION, "--index", index], None),
        }
        for name, (command, bar) in commands.items():
            _seconds(command)
            seconds = [_seconds(command) for _ in range(arguments.rounds)]
            show("start-up", command=name, median=median(seconds), least=min(seconds), rounds=arguments.rounds, bar=bar)


def _seconds(command: list[str | Path]) -> float:
    """Processor seconds of one run, with modules that an earlier run has compiled."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    halluc = Path(sys.executable).with_name("halluc")
    process = subprocess.Popen([halluc, *map(str, command)], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"halluc {command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
