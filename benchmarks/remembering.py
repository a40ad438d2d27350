"""A language model that completes each prompt once, and keeps the completions in a file for the next run.

A stopped run is resumed by it, and runs with the same prompts share their completions.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Remembering:
    """Completes as the model does. Only greedy completions are kept, which do not depend on a seed, without other tokens.

    Args:
        lm: the model.
        path: the file; None to keep completions in memory only.
        batch: prompts completed together before they are kept.
    """

    def __init__(self, lm: Any, path: Path | None = None, *, batch: int = 16) -> None:
        self._lm, self._path, self._batch = lm, path, batch
        # The model's own method, which a caller may then replace by this one.
        self._generate = lm.generate
        self._rows = {row["key"]: row for row in _kept(path)} if path is not None and path.exists() else {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lm, name)

    def generate(self, prompts: Sequence[Any], **options: Any) -> list[list[Any]]:
        """Complete the prompts that are new, and look up the others."""
        from halluc.models.language_model import Generation

        if options.get("n", 1) != 1 or options.get("temperature") or options.get("top_logprobs"):
            return self._generate(prompts, **options)
        keys = [self._key(prompt, options) for prompt in prompts]
        new = list({key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self._rows}.items())
        for i in range(0, len(new), self._batch):
            self._complete(new[i : i + self._batch], options)
        rows = [self._rows[key] for key in keys]
        return [
            [Generation(row["text"], tuple(row["token_ids"]), tuple(row["token_logprobs"]), row["finish_reason"])]
            for row in rows
        ]

    def processor_seconds(self, prompt: Any, **options: Any) -> float:
        """What the completion of a prompt cost: its share of a batch."""
        return self._rows[self._key(prompt, options)]["processor_seconds"]

    def _complete(self, new: list[tuple[str, Any]], options: dict[str, Any]) -> None:
        start = time.process_time()
        completions = self._generate([prompt for _, prompt in new], **options)
        seconds = round((time.process_time() - start) / len(new), 3)
        for (key, _), (generation, *_) in zip(new, completions, strict=True):
            row = {
                "key": key,
                "text": generation.text,
                "finish_reason": generation.finish_reason,
                "processor_seconds": seconds,
                "token_ids": list(generation.token_ids),
                "token_logprobs": [round(value, 4) for value in generation.token_logprobs],
            }
            self._rows[key] = row
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

    def _key(self, prompt: Any, options: dict[str, Any]) -> str:
        return hashlib.sha256(json.dumps([self._lm.name, prompt, options], sort_keys=True).encode()).hexdigest()[:20]


def _kept(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; a last line that an interruption has cut is removed, and computed again."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]
