"""Which trace something belongs to: the W3C Trace Context, Level 1 (https://www.w3.org/TR/trace-context-1/). Pure.

A `traceparent` that cannot be read counts as none, and a `tracestate` without one is dropped (sections 4.2 and 4.3).
Both are made of random numbers and of what tracing systems say to each other: nothing in them names a person (section
6), nothing here decides by them who may do what, and neither is logged but for the number of the trace.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

# Section 3.2.2: lower case; a later version may go on after a dash, version 00 may not, and ff is none.
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 0x01


class TraceContext(NamedTuple):  # made for every request of a traced ingress, in a quarter of a dataclass' time
    """A place in a trace, and the word whether that is recorded."""

    trace_id: str
    span_id: str
    """What happens next is a child of this."""
    is_sampled: bool
    traceparent: bytes
    """As it is told on; what somebody else wrote is told on as they wrote it."""
    tracestate: bytes = b""

    @property
    def lines(self) -> bytes:
        """The header lines that tell of it."""
        line = b"traceparent: %b\r\n" % self.traceparent
        return b"%btracestate: %b\r\n" % (line, self.tracestate) if self.tracestate else line


current_trace: ContextVar[TraceContext | None] = ContextVar("current_trace", default=None)
"""What the running task does its work for, where that is known."""


def read_trace_context(named: Mapping[bytes, bytes]) -> TraceContext | None:
    """What a request says of its trace, by its header fields in lower case; several lines of one name are combined."""
    told = named.get(b"traceparent")
    if told is None:
        return None
    match = _TRACEPARENT.fullmatch(told)
    if match is None or (match[1] == b"00" and match[5]) or not match[2].strip(b"0") or not match[3].strip(b"0"):
        return None
    is_sampled = bool(int(match[4], 16) & _SAMPLED)
    return TraceContext(match[2].decode(), match[3].decode(), is_sampled, told, named.get(b"tracestate", b""))


def make_trace_context(trace_id: str, span_id: str, tracestate: bytes = b"") -> TraceContext:
    """A place in a trace that we record, ours to tell on."""
    traceparent = f"00-{trace_id}-{span_id}-01".encode()
    return TraceContext(trace_id, span_id, is_sampled=True, traceparent=traceparent, tracestate=tracestate)
