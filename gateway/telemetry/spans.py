"""What gets traced, as those see it who do it: a span begins and ends. `tracing` sends spans to a collector."""

from collections.abc import Mapping
from typing import Literal, Protocol

from gateway.telemetry.trace_context import TraceContext

Attributes = Mapping[str, str | int | float]
"""Named by OpenTelemetry's semantic conventions; never a query, a cookie, a token or a key."""


class Span(Protocol):
    """Something that takes time and is recorded."""

    @property
    def context(self) -> TraceContext: ...
    def end(self, attributes: Attributes, *, failure: str = "") -> None:
        """It is over; `failure` is a word for what went wrong, where something did."""


class Tracing(Protocol):
    """Records some of what happens."""

    def begin(
        self,
        name: str,
        kind: Literal["server", "internal"],
        attributes: Attributes,
        *,
        parent: TraceContext | None = None,
        follows: bool = True,
    ) -> Span | None:
        """A span, or None for what is not recorded.

        Whether it is recorded is what the parent says if we may follow it, and else a matter of chance.
        """

    def add_child(self, name: str, attributes: Attributes, *, seconds: float, failure: str = "") -> None:
        """Something that a task did for a request or login that is recorded, and that took so long until now."""
