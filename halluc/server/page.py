"""The page at /: one HTML file with its style and script inside it, which uses the other routes of the server.

It needs no key, since it has no data of its own; the person who uses it enters the key. Its policy lets the browser run this
script alone, send requests to this server alone, and insert text only as text. Not covered: the routes that it uses (app.py,
proxy.py, documents.py).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response

__all__ = ["add_page"]


def add_page(app: FastAPI, features: Callable[[], dict[str, Any]]) -> None:
    """Add the page, and /features, from which it learns what the server can do.

    Args:
        app: an application.
        features: the fields of /features: "model" (its name), "passages" (number in the index; None without one), "checks"
            (whether there is a verifier), "calibrated" (whether confidence is), "uploads" (whether documents are accepted),
            "file_types", "max_upload" (bytes).
    """

    @app.get("/", summary="A page to ask, to check answers and to upload documents", response_class=Response)
    async def _page() -> Response:
        page, policy = _page_and_policy()
        headers = {
            "content-security-policy": policy,
            "cache-control": "no-cache",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return Response(page, media_type="text/html", headers=headers)

    @app.get("/features", summary="What this server can do")
    async def _features() -> dict[str, Any]:
        return features()


@cache
def _page_and_policy() -> tuple[str, str]:
    page = files("halluc.server").joinpath("page.html").read_text(encoding="utf-8")
    script, style = (_hash_of(page, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return page, policy


def _hash_of(page: str, tag: str) -> str:
    """The hash by which a policy allows the content of the page's one element of this name."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
