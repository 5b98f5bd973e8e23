"""Whether a 101 accepts the WebSocket that was asked for."""

import pytest

from gateway.http.headers import Field, RequestHead, parse_request, parse_response
from gateway.http.websocket import accept_key, is_accepted

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # both from RFC 6455, section 1.3


def ask() -> RequestHead:
    fields = [(b"Host", b"a.dev"), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", KEY)]
    return parse_request(b"GET", b"/", "1.1", fields, keep_alive=True)


def test_accept_key_is_the_rfc_s() -> None:
    """The example of RFC 6455."""
    assert accept_key(KEY) == ACCEPT


@pytest.mark.parametrize(
    ("connection", "upgrade", "accept", "is_valid"),
    [
        (b"Upgrade", b"websocket", ACCEPT, True),
        (b"upgrade", b"WebSocket", ACCEPT, True),
        (b"keep-alive, Upgrade", b"websocket", ACCEPT, True),
        (b"Upgrade", b"websocket", ACCEPT.lower(), False),
        (b"Upgrade", b"websocket", b"", False),
        (b"Upgrade", b"websocket", None, False),
        (b"Upgrade", b"h2c", ACCEPT, False),
        (b"Upgrade", None, ACCEPT, False),
        (b"keep-alive", b"websocket", ACCEPT, False),
        (None, b"websocket", ACCEPT, False),
        (b"Upgrade", b"websocket", accept_key(b"another key"), False),
    ],
)
def test_acceptance(connection: bytes | None, upgrade: bytes | None, accept: bytes | None, *, is_valid: bool) -> None:
    """All three parts of the answer are checked (RFC 6455, section 4.1)."""
    fields: list[tuple[bytes, bytes | None]] = [
        (b"Connection", connection),
        (b"Upgrade", upgrade),
        (b"Sec-WebSocket-Accept", accept),
    ]
    given: list[Field] = [(name, value) for name, value in fields if value is not None]
    head = parse_response(101, b"", "1.1", given, keep_alive=True)

    assert is_accepted(ask(), head) is is_valid


def test_nothing_is_accepted_that_was_not_asked() -> None:
    """A 101 for an ordinary request is no acceptance, whatever it says."""
    plain = parse_request(b"GET", b"/", "1.1", [(b"Host", b"a.dev")], keep_alive=True)
    fields = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", accept_key(b"")),
    ]

    assert not is_accepted(plain, parse_response(101, b"", "1.1", fields, keep_alive=True))
