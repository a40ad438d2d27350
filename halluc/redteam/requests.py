"""Harmful requests from the rows of HarmBench and StrongREJECT, which most attacks wrap.

Not covered: rows of the other families (injection.py, multilingual.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.benchmark import Row, text_column

__all__ = ["harmful_requests"]


def harmful_requests(rows: Sequence[Row]) -> list[str]:
    """Read the request of each row, with the text it is about if it has one.

    Raises:
        InvalidInput: a row has no request; the message names it.
    """
    requests = []
    for where, row in rows:
        request = text_column(row, ["Behavior", "behavior", "forbidden_prompt", "prompt"], where).strip()
        context = str(row.get("ContextString") or "").strip()
        requests.append(f"{context}\n\n{request}" if context else request)
    return requests
