"""An answer of the gateway itself as the bytes of an HTTP/1.1 response. Pure."""

from http import HTTPStatus

from gateway.answers import Answer, render
from gateway.http.headers import RequestHead


def reply_bytes(
    answer: Answer,
    accept: bytes,
    request_id: str,
    extra: list[tuple[str, str]],
    *,
    head: RequestHead | None,
    close: bool,
) -> tuple[bytes, int]:
    """The response, and how many bytes of it are body. `head` is None where there is no request to speak of."""
    rendered = render(answer, accept.decode("latin-1"), request_id)
    fields = [*rendered.headers, *extra, ("Content-Length", str(len(rendered.body)))]
    if close:
        fields.append(("Connection", "close"))
    elif head is not None and head.http10:
        fields.append(("Connection", "keep-alive"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    start = f"HTTP/1.1 {rendered.status} {HTTPStatus(rendered.status).phrase}\r\n"
    body = b"" if head is not None and head.method == b"HEAD" else rendered.body
    return (start + lines + "\r\n").encode() + body, len(body)
