"""The opening handshake of a WebSocket (RFC 6455, section 4): whether a 101 really accepts the request. Pure."""

import base64
import hashlib

from gateway.http.headers import RequestHead, ResponseHead, tokens

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that proves a server understood this Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the RFC's choice, not a security measure


def is_accepted(request: RequestHead, response: ResponseHead) -> bool:
    """Whether the workspace switched to the protocol that was asked for, in answer to this very request."""
    return (
        request.upgrade
        and response.named.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in tokens(response.named.get(b"connection", b""))
        and response.named.get(b"sec-websocket-accept", b"") == accept_key(request.get(b"sec-websocket-key"))
    )
