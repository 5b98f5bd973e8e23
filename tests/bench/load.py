"""The load generators: wrk for requests, plain blocking sockets for transfers, latency, and WebSockets.

They run on the core that the proxies do not use, and share it with the workspace servers.
"""

import base64
import multiprocessing
import os
import re
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.origins import CHUNK, accept_key, field, read_head, swallow

PAGE_END = b".\n"  # of the small page, and of nothing before it
REAL_TIME = 10  # priority of the one who asks for a latency, and of the workspace it asks
_TIMEOUT = struct.pack("ll", 30, 0)  # s; nothing takes a tenth of it unless it hangs
_KEY = base64.b64encode(b"sixteen bytes!!!")
_MESSAGE = b"m" * 1024
# A text frame of a client, masked with zeros (RFC 6455, section 5.2): unmasking it would only cost the echo time
_FRAME = b"\x81\xfe" + len(_MESSAGE).to_bytes(2, "big") + bytes(4) + _MESSAGE
_ECHO_SIZE = 4 + len(_MESSAGE)


@dataclass(frozen=True, slots=True)
class Target:
    """A web server of a workspace, as one of the proxies (or nobody) leads to it."""

    port: int
    host: str
    cookie: str

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # the kernel's, which cost no call each time
            sock.setsockopt(socket.SOL_SOCKET, direction, _TIMEOUT)
        return sock

    def request(self, method: str, path: str, *fields: str) -> bytes:
        lines = (f"{method} {path} HTTP/1.1", f"Host: {self.host}", f"Cookie: {self.cookie}", *fields)
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def status(self) -> int:
        """Of the small page; 0 while nobody answers."""
        try:
            with self.connect() as sock:
                sock.sendall(self.request("GET", "/"))
                return int(read_head(sock)[0][9:12] or b"0")
        except OSError:
            return 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes that went through, and how long that took."""

    size: int
    seconds: float

    @property
    def mib_per_second(self) -> float:
        return self.size / self.seconds / (1 << 20)


def requests_per_second(
    target: Target, path: str, seconds: float, *, connections: int = 32, keep_alive: bool = True
) -> float:
    """What wrk gets with this many connections, one request on each at a time.

    Raises:
        RuntimeError: if a single request failed.
    """
    fields = ["-H", f"Host: {target.host}", "-H", f"Cookie: {target.cookie}"]
    if not keep_alive:
        fields += ["-H", "Connection: close"]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", *fields, f"http://127.0.0.1:{target.port}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - built here
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"requests failed:\n{text}")
    return _number(r"(\d+) requests in", text) / _number(r"requests in ([\d.]+)s", text)


def download(target: Target, path: str) -> Transfer:
    """Fetch one file; the kernel drops its bytes."""
    with target.connect() as sock:
        started = time.perf_counter()
        sock.sendall(target.request("GET", path))
        head, rest = read_head(sock)
        size = int(field(head, b"content-length"))
        swallow(sock, size - len(rest))
        return Transfer(size, time.perf_counter() - started)


def upload(target: Target, file: Path) -> Transfer:
    """Send one file; the clock stops at the answer, which comes after its last byte."""
    size = file.stat().st_size
    with target.connect() as sock, file.open("rb") as stream:
        started = time.perf_counter()
        sock.sendall(target.request("POST", "/", f"Content-Length: {size}"))
        sent = 0
        while sent < size:
            sent += os.sendfile(sock.fileno(), stream.fileno(), sent, CHUNK)
        head, _ = read_head(sock)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an upload was answered with {head[:60]!r}")
        return Transfer(size, time.perf_counter() - started)


def latencies(target: Target, seconds: float, *, pause: float = 0) -> list[float]:
    """Seconds per small request, one after the other on one connection; sorted."""
    request, found = target.request("GET", "/"), []
    with real_time(), target.connect() as sock:
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            sock.sendall(request)
            while not (data := sock.recv(65536)).endswith(PAGE_END):
                if not data:
                    raise RuntimeError("the connection was closed between two requests")
            found.append(time.perf_counter() - started)
            if pause:
                time.sleep(pause)
    return sorted(found)


@contextmanager
def real_time() -> Iterator[None]:
    """What else runs on this core must not count as latency of a proxy; without the right to it, it does."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REAL_TIME))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def percentile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


@contextmanager
def downloading(target: Target, path: str) -> Iterator[None]:
    """A process downloads at full speed, again and again, while the block runs."""
    process = multiprocessing.get_context("fork").Process(target=_download_for_ever, args=(target, path), daemon=True)
    process.start()
    try:
        time.sleep(0.2)
        yield
        if not process.is_alive():
            raise RuntimeError("the download that was to disturb ended early")
    finally:
        process.terminate()
        process.join()


def _download_for_ever(target: Target, path: str) -> None:
    while True:
        download(target, path)


def open_websocket(target: Target) -> socket.socket:
    """A WebSocket that has echoed one message."""
    sock = target.connect()
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Origin: http://{target.host}",
    )
    sock.sendall(target.request("GET", "/", *upgrade, f"Sec-WebSocket-Key: {_KEY.decode()}"))
    head, rest = read_head(sock)
    if not head.startswith(b"HTTP/1.1 101") or field(head, b"sec-websocket-accept") != accept_key(_KEY):
        raise RuntimeError(f"an upgrade was answered with {head[:60]!r}")
    sock.sendall(_FRAME)
    swallow(sock, _ECHO_SIZE - len(rest))
    return sock


def messages_per_second(target: Target, seconds: float, *, connections: int) -> float:
    """Echoes of 1 KiB messages, one under way on each connection at a time."""
    socks = {sock.fileno(): sock for sock in (open_websocket(target) for _ in range(connections))}
    missing = dict.fromkeys(socks, _ECHO_SIZE)
    epoll, buffer, count = select.epoll(), bytearray(_ECHO_SIZE), 0
    try:
        for fd, sock in socks.items():
            epoll.register(fd, select.EPOLLIN)
            sock.send(_FRAME)
        started = now = time.perf_counter()
        while now < started + seconds:
            for fd, _ in epoll.poll(1):
                got = socks[fd].recv_into(buffer)
                if not got:
                    raise RuntimeError("a WebSocket was closed while it echoed")
                missing[fd] -= got
                if not missing[fd]:
                    count += 1
                    missing[fd] = _ECHO_SIZE
                    socks[fd].send(_FRAME)
            now = time.perf_counter()
        return count / (now - started)
    finally:
        epoll.close()
        for sock in socks.values():
            sock.close()


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"wrk said something unexpected:\n{text}")
    return float(match[1])
