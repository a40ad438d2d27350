"""Spans of OpenTelemetry, in processes that use it.

A process uses it if it has imported `opentelemetry.trace`, as FastAPI and whoever configures an exporter do. In others a
span costs nothing, and nothing is imported. Spans have counts and names, never text of questions, passages or answers. Not
covered: exporters, which the application or the `OTEL_` variables configure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["span", "start_span"]


@contextmanager
def span(name: str, attributes: Mapping[str, str | int | float | bool]) -> Iterator[Any]:
    """Run the block in a span, which records an error of the block.

    Args:
        name: of the operation.
        attributes: what is known at its start.

    Yields:
        The span, for attributes that are known later; None if the process does not use OpenTelemetry.
    """
    tracer = _tracer()
    if tracer is None:
        yield None
        return
    with tracer.start_as_current_span(name, attributes=dict(attributes)) as current:
        yield current


def start_span(name: str, attributes: Mapping[str, str | int | float | bool]) -> Any:
    """Start a span that spans of other work are not part of, and that the caller ends; None without OpenTelemetry."""
    tracer = _tracer()
    return None if tracer is None else tracer.start_span(name, attributes=dict(attributes))


def _tracer() -> Any:
    trace = sys.modules.get("opentelemetry.trace")
    return None if trace is None else trace.get_tracer("halluc")
