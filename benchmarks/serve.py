"""Load on `halluc serve`: many clients on this machine, a third of them bad or leaving early.

Starts the command with an index of a few passages, and prints: the time to the first text of one stream and of five at once,
beside that of the same model and retrieval in this process, where no prompt comes twice and the machine is idle between the
measurements; the longest pause of a stream, alone and while the long prompt of another one is computed; counts of replies by
kind and status, median and 95th percentile of good ones, and the server's memory before the load, after half of it and at
its end; the time from SIGTERM to its end while requests run. Exits with 1 if a good request got a server error, or if the
server outlived its grace.

    python benchmarks/serve.py --clients 100 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
from figures import show

# A script beside this one has the same name as a package, and Python looks in a script's own folder first.
sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]

PASSAGES = [
    "Alexander Fleming discovered penicillin in 1928. He worked at a hospital in London.",
    "Marie Curie was born in Warsaw. She won two Nobel Prizes for her work on radioactivity.",
    "The Eiffel Tower stands in Paris. It was completed in 1889 by Gustave Eiffel's company.",
    "The Danube flows through ten countries. It ends in the Black Sea.",
]
QUESTIONS = [
    "Who discovered penicillin?",
    "Where was Marie Curie born?",
    "When was the Eiffel Tower completed?",
    "Where does the Danube end?",
    "How do I bake sourdough bread?",
]
# Put before a question, one or two of them, so that no prompt comes twice.
OPENINGS = ["", "Please tell me: ", "Say it: ", "Quickly: ", "A friend asks: ", "Once more: ", "For a quiz: ", "I forgot: "]
BAD = [
    b"{",
    b'{"messages": []}',
    json.dumps({"messages": [{"role": "user", "content": "\ud83d"}]}).encode(),
    json.dumps({"messages": [{"role": "user", "content": "x"}], "temperature": 1e-320}).encode(),
    json.dumps({"messages": [{"role": "user", "content": "x"}], "unknown": 1}).encode(),
]
GRACE = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--max-tokens", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of a time to the first text")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = _build_index(Path(folder))
        command = [str(Path(sys.executable).with_name("halluc")), "serve", "--port", "0", "--index", str(index), "--json",
                   "--model", arguments.model, "--grace", str(GRACE), "--no-request-log", "--max-queue", "1000"]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                url = json.loads(server.stdout.readline())["url"]
                failed = asyncio.run(_run(url, index, psutil.Process(server.pid), arguments))
                took = _stop(server, url)
            finally:
                if server.poll() is None:
                    server.kill()
    sys.exit(1 if failed or took > GRACE + 5 else 0)


def _build_index(folder: Path) -> Path:
    from retrieval import Passage, PassageIndex

    with PassageIndex.create(folder / "serve.index") as index:
        index.add([Passage(str(number), text) for number, text in enumerate(PASSAGES)])
    return folder / "serve.index"


async def _run(url: str, index: Path, process: psutil.Process, arguments: argparse.Namespace) -> int:
    """Print the figures; returns how many good requests got a server error."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=url, timeout=600, limits=limits) as client:
        questions = map("".join, itertools.product(OPENINGS, OPENINGS, QUESTIONS[:4]))
        for _ in range(2):
            await _first_text(client, next(questions))
        one, five, alone, retrieval, batches = [], [], [], [], []
        here = _Here(index, arguments.model)
        for _ in range(arguments.rounds):
            await _idle(client)
            one.append(await _first_text(client, next(questions)))
            await _idle(client)
            five.append(max(await asyncio.gather(*(_first_text(client, next(questions)) for _ in range(5)))))
            await _idle(client)
            asked = [next(questions) for _ in range(5)]
            retrieval.append(here.retrieval(asked[0]))
            alone.append(here.first_text(asked[0]))
            batches.append(here.prefill(asked) / here.prefill(asked[:1]))
        del here
        pauses = [await _longest_pauses(client, next(questions)) for _ in range(min(arguments.rounds, 3))]
        alone_pause, beside_pause, long_prompt = np.median(pauses, axis=0)
        show("longest pause of a stream", rounds=len(pauses), alone=float(alone_pause),
             beside_long_prompt=float(beside_pause), first_text_of_long_prompt=float(long_prompt))  # fmt: skip
        first, slowest, generation = float(np.median(one)), float(np.median(five)), float(np.median(alone))
        show("time to the first text", rounds=arguments.rounds, one=first, slowest_of_five=slowest, ratio=slowest / first,
             bar=1.5, generation_alone=generation, retrieval_alone=float(np.median(retrieval)),
             to_generation=first / generation, bar_to_generation=1.1,
             prompts_of_five_to_one=float(np.median(batches)))  # fmt: skip
        before = process.memory_info().rss
        counts: Counter[str] = Counter()
        seconds: list[float] = []
        end = time.monotonic() + arguments.seconds
        load = [_client(client, number, end, arguments.max_tokens, counts, seconds) for number in range(arguments.clients)]
        half = asyncio.create_task(_memory_at(process, end - arguments.seconds / 2))
        await asyncio.gather(*load)
        after = process.memory_info().rss
        p50, p95 = np.percentile(seconds, [50, 95]) if seconds else (float("nan"), float("nan"))
        failed = sum(n for kind, n in counts.items() if kind.startswith("good 5"))
        show("load", clients=arguments.clients, **{kind.replace(" ", "_"): n for kind, n in sorted(counts.items())},
             p50=float(p50), p95=float(p95), memory_before=before / 2**20, memory_half=await half / 2**20,
             memory_after=after / 2**20)  # fmt: skip
    return failed


async def _first_text(client: httpx2.AsyncClient, question: str, system: str = "") -> float:
    """Seconds to the first text of a stream, which is then left."""
    start = time.perf_counter()
    async with aclosing(_texts(client, _body(question, 16, stream=True, system=system))) as texts:
        async for moment in texts:
            return moment - start
    raise RuntimeError("the stream had no text")


async def _longest_pauses(client: httpx2.AsyncClient, question: str) -> tuple[float, float, float]:
    """Longest seconds between two texts of a stream: alone, and with a long prompt; seconds to the first text of that."""
    longest = []
    for system in ("", f"{time.monotonic()}: " + "Be brief, be exact, and name your sources. " * 250):
        await _idle(client)
        moments, other = [], None
        async for moment in _texts(client, _body(question, 48, stream=True)):
            moments.append(moment)
            if system and other is None:
                other = asyncio.create_task(_first_text(client, question, system))
        longest.append(float(np.diff(moments).max()))
    assert other is not None
    return longest[0], longest[1], await other


async def _texts(client: httpx2.AsyncClient, body: dict[str, object]) -> AsyncGenerator[float, None]:
    """The moments at which a stream has text."""
    async with client.stream("POST", "/chat/completions", json=body) as reply:
        async for line in reply.aiter_lines():
            if '"content"' in line:
                yield time.perf_counter()


async def _idle(client: httpx2.AsyncClient) -> None:
    """Wait until the server has nothing to do."""
    while (await client.get(client.base_url.join("/health"))).json()["running"]:
        await asyncio.sleep(0.05)


class _Here:
    """The model and the index in this process: what the work takes without a server."""

    def __init__(self, index: Path, model: str) -> None:
        from halluc import GroundedModel, load_model
        from retrieval import PassageIndex

        self.lm = load_model(model)
        self.grounded = GroundedModel(self.lm, PassageIndex.open(index))
        self.first_text(QUESTIONS[0])

    def retrieval(self, question: str) -> float:
        start = time.perf_counter()
        self._prompts([question])
        return time.perf_counter() - start

    def first_text(self, question: str) -> float:
        (prompt,) = self._prompts([question])
        start = time.perf_counter()
        stream = self.lm.stream(prompt, max_new_tokens=16)
        next(stream)
        return time.perf_counter() - start

    def prefill(self, questions: list[str]) -> float:
        """Seconds of one forward pass over the prompts."""
        import torch

        ids, mask = self.lm.pad(self.lm.encode(self._prompts(questions)), left=True)
        start = time.perf_counter()
        with torch.inference_mode():
            self.lm.prefill(ids, mask)
        return time.perf_counter() - start

    def _prompts(self, questions: list[str]) -> list[Any]:
        from halluc.grounding.conversation import Conversation

        return [prepared.prompt for prepared in self.grounded.prepare([Conversation(question) for question in questions])]


async def _memory_at(process: psutil.Process, moment: float) -> int:
    await asyncio.sleep(moment - time.monotonic())
    return int(process.memory_info().rss)


async def _client(
    client: httpx2.AsyncClient, number: int, end: float, max_tokens: int, counts: Counter[str], seconds: list[float]
) -> None:
    """One client: of three, one sends bad requests or leaves early."""
    rng = random.Random(number)
    while time.monotonic() < end:
        start = time.perf_counter()
        try:
            if number % 6 == 0:
                reply = await client.post(
                    "/chat/completions", content=rng.choice(BAD), headers={"content-type": "application/json"}
                )
                counts[f"bad {reply.status_code}"] += 1
            elif number % 6 == 1:
                body = _body("Tell me everything about the Danube.", 400, stream=rng.random() < 0.5)
                await client.post("/chat/completions", json=body, timeout=rng.uniform(0.2, 1.0))
                counts["early finished"] += 1
            else:
                body = _body(rng.choice(QUESTIONS), max_tokens, stream=rng.random() < 0.5)
                reply = await client.post("/chat/completions", json=body)
                counts[f"good {reply.status_code}"] += 1
                seconds.append(time.perf_counter() - start)
        except httpx2.TimeoutException:
            counts["early left"] += 1
        except httpx2.HTTPError as error:
            counts[f"{'good 599' if number % 6 > 1 else 'other'} {type(error).__name__}"] += 1
        await asyncio.sleep(rng.uniform(0, 0.2))


def _stop(server: subprocess.Popen[str], url: str) -> float:
    """Seconds from SIGTERM to the end of the server while it generates."""

    async def stop() -> float:
        async with httpx2.AsyncClient(base_url=url, timeout=600) as client:
            long = asyncio.gather(
                *(client.post("/chat/completions", json=_body("Count to a thousand.", 2000)) for _ in range(3)),
                return_exceptions=True,
            )
            await asyncio.sleep(1)
            start = time.monotonic()
            server.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait, 120)
            took = time.monotonic() - start
            await long
            return took

    took = asyncio.run(stop())
    show("end after SIGTERM", seconds=took, grace=GRACE)
    return took


def _body(text: str, max_tokens: int, *, stream: bool = False, system: str = "") -> dict[str, object]:
    messages = [{"role": "system", "content": system}] if system else []
    return {"messages": [*messages, {"role": "user", "content": text}], "max_tokens": max_tokens, "stream": stream}


if __name__ == "__main__":
    main()
