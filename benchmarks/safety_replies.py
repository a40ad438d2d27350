"""Replies of a model kept in a file, so that a stopped run is resumed and runs with the same prompts share them.

Used by safety.py. Only greedy replies are kept: they do not depend on a seed. The file must be used with one model only.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def keep_replies(lm, path: Path) -> None:
    """Make `lm.generate` read greedy replies from the file and append new ones to it."""
    from halluc.models.language_model import Generation

    generate = lm.generate
    # A line that an interruption has cut is computed again.
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    replies = {row["key"]: Generation(row["text"], finish_reason=row["finish_reason"], token_logprobs=tuple(row["logprobs"]))
               for row in map(json.loads, lines)}  # fmt: skip

    def kept(prompts, *, n=1, temperature=0.0, **options):
        if n != 1 or temperature:
            return generate(prompts, n=n, temperature=temperature, **options)
        keys = [hashlib.sha256(repr((prompt, sorted(options.items()))).encode()).hexdigest() for prompt in prompts]
        missing = [i for i, key in enumerate(keys) if key not in replies]
        computed = generate([prompts[i] for i in missing], **options) if missing else []
        with path.open("a", encoding="utf-8") as file:
            for i, (reply,) in zip(missing, computed, strict=True):
                replies[keys[i]] = reply
                row = {"key": keys[i], "text": reply.text, "finish_reason": reply.finish_reason,
                       "logprobs": list(reply.token_logprobs)}  # fmt: skip
                file.write(json.dumps(row) + "\n")
        return [[replies[key]] for key in keys]

    lm.generate = kept
