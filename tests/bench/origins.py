"""The workspace servers that nginx cannot be: one that swallows uploads, one that echoes WebSocket frames.

`python -m tests.bench.origins sink|echo PORT`. Both do as little per byte as Python can, since they share a core with
the load generator: the sink lets the kernel throw bytes away, the echo copies one slice.
"""

import base64
import hashlib
import select
import socket
import sys
import threading

CHUNK = 1 << 20
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def swallow(sock: socket.socket, count: int) -> None:
    """Read and drop exactly `count` bytes, without a copy (tcp(7), MSG_TRUNC)."""
    buffer = bytearray(min(CHUNK, count))
    while count > 0:
        got = sock.recv_into(buffer, min(CHUNK, count), socket.MSG_TRUNC)
        if not got:
            raise ConnectionError(f"closed with {count} bytes missing")
        count -= got


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """A message head, and what came after it; empty when the peer is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def field(head: bytes, name: bytes) -> bytes:
    """The value of a field of a message head; empty when it is absent."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - the RFC's choice, not a security measure


def serve_sink(listener: socket.socket) -> None:
    """Answer each request after the last byte of its body; one thread per connection."""
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_sink, args=(sock,), daemon=True).start()


def _sink(sock: socket.socket) -> None:
    with sock:
        while True:
            try:
                head, rest = read_head(sock)
                if not head:
                    return
                swallow(sock, int(field(head, b"content-length") or b"0") - len(rest))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            except ConnectionError:
                return


def serve_echo(listener: socket.socket) -> None:
    """Echo every frame of up to 64 KiB; the clients of this measurement mask with zeros, which masks nothing."""
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    parts: dict[int, bytes] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                socks[sock.fileno()] = sock
                epoll.register(sock, select.EPOLLIN)
                continue
            sock = socks[fd]
            try:
                data = sock.recv(65536)
                rest = _answer(sock, parts.pop(fd, b"") + data) if data else None
            except OSError:
                rest = None
            if rest is None:
                epoll.unregister(fd)
                socks.pop(fd).close()
            elif rest:
                parts[fd] = rest


def _answer(sock: socket.socket, data: bytes) -> bytes | None:
    """Answer what is complete; the rest, or None at a close frame."""
    if data[:1] == b"G":
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            return data
        key = accept_key(field(head, b"sec-websocket-key"))
        sock.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % key
        )
        return rest
    if data[:1] == b"\x88":
        return None
    size = int.from_bytes(data[2:4], "big")
    if len(data) < 8 + size:
        return data
    sock.send(data[:1] + b"\x7e" + data[2:4] + data[8 : 8 + size])
    return data[8 + size :]


def main(kind: str, port: int) -> None:
    """Serve on a loopback port until the end of the process."""
    with socket.create_server(("127.0.0.1", port), backlog=4096) as listener:
        (serve_sink if kind == "sink" else serve_echo)(listener)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
