"""What is measured over SSH, line by line: each is a function that yields its samples, round by round."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import product

from tests.bench.load import REAL_TIME, percentile, real_time
from tests.bench.process import LOAD_CORE, wait_until
from tests.bench.report import Sample
from tests.bench.ssh_peers import PIPE, Peer, Site

GIGABYTE = 1_000_000_000
SIZE = GIGABYTE // 2
WARM_SIZE = GIGABYTE // 10
LOGINS = 25  # the clock of processor time ticks every 10 ms
KEYSTROKES = 300
IDLE = {"gateway": 1000, "plain relay": 200}  # the relay's figure is for comparison, and each takes long to open
IDLE_SECONDS = 120
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Bench:
    """Everything that runs while the lines are measured."""

    site: Site
    relays: tuple[Peer, ...]
    """The gateway is the first."""
    rounds: int

    @property
    def peers(self) -> tuple[Peer, ...]:
        return (self.site.direct, *self.relays)

    def interleaved(self) -> Iterator[tuple[int, Peer]]:
        return product(range(1, self.rounds + 1), self.peers)


Run = Callable[[Bench], Iterator[Sample]]


def _download(peer: Peer, _site: Site, size: int) -> float:
    """Seconds from the first byte, which comes after the login."""
    started = float(peer.run("bench", f"date +%s.%N >&2; head -c {size} /dev/zero"))
    return time.time() - started


def _upload(peer: Peer, site: Site, size: int) -> float:
    with site.zeros.open("w+b") as zeros:
        zeros.truncate(size)
        started = float(peer.run("bench", "date +%s.%N >&2; cat >/dev/null", stdin=zeros))
        return time.time() - started


def _transfers(line: str, transfer: Callable[[Peer, Site, int], float]) -> Run:
    """A line of one large transfer, with the processor time and the calls of the relay."""

    def run(bench: Bench) -> Iterator[Sample]:
        for peer in bench.peers:
            transfer(peer, bench.site, WARM_SIZE)
        for number, peer in bench.interleaved():
            before = peer.cpu_seconds()
            calls = peer.program.calls() if peer.program else (0, 0)
            rate = SIZE / MEBIBYTE / transfer(peer, bench.site, SIZE)
            yield Sample(line, "rate", peer.name, number, rate)
            if peer.program:
                used = peer.cpu_seconds() - before
                yield Sample(line, "cpu", peer.name, number, used * GIGABYTE / SIZE)
                for metric, now, then in zip(("reads", "writes"), peer.program.calls(), calls, strict=True):
                    yield Sample(line, metric, peer.name, number, (now - then) * MEBIBYTE / SIZE)

    return run


def _logins(bench: Bench) -> Iterator[Sample]:
    for peer in bench.peers:
        peer.run("bench", "true")
    for number, peer in bench.interleaved():
        before, started = peer.cpu_seconds(), time.perf_counter()
        for _ in range(LOGINS):
            peer.run("bench", "true")
        yield Sample("login", "ms", peer.name, number, (time.perf_counter() - started) / LOGINS * 1000)
        if peer.program:
            yield Sample("login", "cpu", peer.name, number, (peer.cpu_seconds() - before) / LOGINS * 1000)


def _keystrokes(bench: Bench) -> Iterator[Sample]:
    direct = {"idle": 0.0, "busy": 0.0}
    for number, peer in bench.interleaved():
        with _echo(peer) as echo:
            found = {"idle": _round_trips(echo)}
            with _full_speed(peer):
                found["busy"] = _round_trips(echo)
        for metric, p99 in found.items():
            yield Sample("keystroke", metric, peer.name, number, p99)
            if peer.program is None:
                direct[metric] = p99
            else:
                yield Sample("keystroke", f"{metric} added", peer.name, number, p99 - direct[metric])


@contextmanager
def _echo(peer: Peer) -> Iterator["subprocess.Popen[bytes]"]:
    """A client whose every byte comes back; it runs before everything else on its core, as its sshd does."""
    with peer.start("other", "cat", stdin=PIPE, stdout=PIPE) as process:
        try:
            _press(process)
            with suppress(PermissionError):
                os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(REAL_TIME))
            yield process
        finally:
            process.kill()


def _press(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("it was started with pipes")
    os.write(process.stdin.fileno(), b"k")
    if os.read(process.stdout.fileno(), 1) != b"k":
        raise RuntimeError("the echo has ended")


def _round_trips(process: "subprocess.Popen[bytes]") -> float:
    """The 99th percentile, in milliseconds."""
    found = []
    with real_time():
        for _ in range(KEYSTROKES):
            started = time.perf_counter()
            _press(process)
            found.append(time.perf_counter() - started)
            time.sleep(0.002)  # nobody types faster, and the transfer beside it shall have its core
    return percentile(sorted(found), 0.99) * 1000


@contextmanager
def _full_speed(peer: Peer) -> Iterator[None]:
    """A download without end through the same relay."""
    with peer.start("bench", "echo >&2; cat /dev/zero") as process:
        try:
            if process.stderr is None or not process.stderr.readline():
                raise RuntimeError("the transfer that was to disturb did not begin")
            yield
            if process.poll() is not None:
                raise RuntimeError("the transfer that was to disturb ended early")
        finally:
            process.kill()


def _idle(bench: Bench) -> Iterator[Sample]:
    """Once, in fresh processes: memory that an earlier round has freed would hide what a connection needs."""
    for start in (bench.site.gateway, bench.site.plain_relay):
        with start() as peer, ExitStack() as stack:
            if peer.program is None:
                raise AssertionError("a relay is a program")
            count = IDLE[peer.name]
            peer.run("bench", "true")
            before = peer.program.resident()
            arguments = [str(peer.ports["bench"]), "bench", str(bench.site.token_file), str(count)]
            command = [sys.executable, "-m", "tests.bench.ssh_idle", *arguments]
            client = bench.site.start_program("idle", LOAD_CORE, command, stack)
            wait_until(lambda: client.output.read_text() == "ready\n", "idle connections", IDLE_SECONDS, client)  # noqa: B023 - it is called before the loop goes on
            yield Sample("idle", "kb", peer.name, 1, (peer.program.resident() - before) / 1000 / count)


LINES: dict[str, Run] = {
    "download": _transfers("download", _download),
    "upload": _transfers("upload", _upload),
    "login": _logins,
    "keystroke": _keystrokes,
    "idle": _idle,
}
