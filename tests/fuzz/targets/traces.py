"""What a request says of its trace (`gateway.telemetry.trace_context`).

Each line of an input is a `traceparent`, the last one a `tracestate`.

- It is a context or none, and nothing is raised.
- A context has the numbers that the W3C's words give, read here once more piece by piece, and is told on in two header
  lines at most, which say the same when they are read again.
"""

from collections.abc import Sequence

from gateway.http.reader import RequestReader
from gateway.telemetry.trace_context import read_trace_context
from tests.fuzz.targets.heads import SETTINGS, Heard

HEX = frozenset(b"0123456789abcdef")


def check(data: bytes) -> None:
    *parents, state = data.split(b"\n")
    named = read_fields([(b"traceparent", parent) for parent in parents] + [(b"tracestate", state)])
    context = read_trace_context(named)
    if context is None:
        return
    version, trace, span, flags, *more = named[b"traceparent"].split(b"-")
    assert is_hex(version, 2)
    assert version != b"ff"
    assert version != b"00" or not more
    assert is_hex(trace, 32)
    assert is_hex(span, 16)
    assert is_hex(flags, 2)
    assert int(trace, 16)
    assert int(span, 16)
    assert (context.trace_id, context.span_id) == (trace.decode(), span.decode())
    assert context.is_sampled == (int(flags, 16) % 2 == 1)
    assert context.lines.count(b"\r\n") == (2 if context.tracestate else 1)
    again = read_fields([tuple(line.split(b": ", 1)) for line in context.lines.split(b"\r\n")[:-1]])
    told = read_trace_context(again)
    assert told is not None
    assert told.lines.split() == context.lines.split()  # blanks at the end of a value are none of it


def read_fields(fields: Sequence[tuple[bytes, ...]]) -> dict[bytes, bytes]:
    """As they are known of a request; nothing where they cannot stand in one."""
    head = (
        b"GET / HTTP/1.1\r\nHost: a.example\r\n" + b"".join(b": ".join(field) + b"\r\n" for field in fields) + b"\r\n"
    )
    heard = Heard()
    RequestReader(SETTINGS, heard).feed(head)
    return heard.requests[0].head.named if heard.requests else {}


def is_hex(text: bytes, size: int) -> bool:
    return len(text) == size and set(text) <= HEX
