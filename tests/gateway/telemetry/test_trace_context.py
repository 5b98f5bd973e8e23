"""What a request says of its trace (W3C Trace Context, Level 1)."""

import pytest

from gateway.telemetry.trace_context import make_trace_context, read_trace_context

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("told", "sampled"),
    [
        (VALID, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_valid_one_is_read_and_told_on_as_it_is(told: str, sampled: bool) -> None:  # noqa: FBT001 - a table cell
    """Of a later version what this one knows counts."""
    context = read_trace_context({b"traceparent": told.encode(), b"tracestate": b"rojo=1,congo=2"})

    assert context is not None
    assert (context.trace_id, context.span_id, context.is_sampled) == (TRACE, SPAN, sampled)
    assert context.lines == f"traceparent: {told}\r\ntracestate: rojo=1,congo=2\r\n".encode()


@pytest.mark.parametrize(
    "told",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f" {VALID}",
        f"{VALID}\n",
        f"{VALID}, {VALID}",
        "x" * 60000,
    ],
)
def test_an_invalid_one_counts_as_none(told: str) -> None:
    """Two of them too, which are combined by then; and what came with it is dropped with it."""
    assert read_trace_context({b"traceparent": told.encode(), b"tracestate": b"rojo=1"}) is None


def test_a_state_without_a_parent_is_none() -> None:
    """Section 4.2."""
    assert read_trace_context({b"tracestate": b"rojo=1"}) is None
    assert read_trace_context({}) is None


def test_what_we_record_is_told_as_recorded() -> None:
    """In the version that everybody reads, and can be read back."""
    made = make_trace_context(TRACE, SPAN, b"rojo=1")

    assert made.lines == f"traceparent: {VALID}\r\ntracestate: rojo=1\r\n".encode()
    assert read_trace_context({b"traceparent": made.traceparent, b"tracestate": made.tracestate}) == made
