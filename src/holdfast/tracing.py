"""Tracing: the trace that a job belongs to, carried from its put to its handler.

Answers for: the W3C trace context (https://www.w3.org/TR/trace-context/) of the caller,
as plain data, and a span around what is done in its name.
Leaves to others: everything about traces, to OpenTelemetry, where a program uses it.
Always holds: OpenTelemetry is asked only where the program itself has traces; without
it nothing is done.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def current_trace() -> dict[str, str] | None:
    """The caller's trace, to be carried along; None where there is none."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None or not trace.get_current_span().get_span_context().is_valid:
        return None
    carrier: dict[str, str] = {}
    _propagate().inject(carrier)
    return carrier or None


def traces() -> bool:
    """Whether this program has traces."""
    return "opentelemetry.trace" in sys.modules


@contextmanager
def within_trace(
    carried: Mapping[str, str] | None, name: str, attributes: Mapping[str, str | int]
) -> Iterator[None]:
    """A span of that name around a block, in the trace that was carried along."""
    trace: Any = sys.modules["opentelemetry.trace"]
    with trace.get_tracer("holdfast").start_as_current_span(
        name,
        context=_propagate().extract(carried) if carried else None,
        kind=trace.SpanKind.CONSUMER,
        attributes=attributes,
    ):
        yield


def _propagate() -> Any:
    return importlib.import_module("opentelemetry.propagate")
