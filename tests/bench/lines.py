"""What is measured, line by line: each is a function that yields its samples, round by round, peer after peer.

A round goes once through all peers, so that a machine that gets slower meanwhile gets slower for all of them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

from tests.bench import load
from tests.bench.peers import Peer, Site
from tests.bench.report import Sample

MEASURE_SECONDS = 3.0
WARM_SECONDS = 1.0
TUNNELS = 5000
ROUTES = 100_000


@dataclass(frozen=True)
class Bench:
    """Everything that runs while the lines are measured."""

    site: Site
    proxies: tuple[Peer, ...]
    """The gateway is the first."""
    rounds: int

    @property
    def gateway(self) -> Peer:
        return self.proxies[0]

    @property
    def peers(self) -> tuple[Peer, ...]:
        return (self.site.direct, *self.proxies)

    def interleaved(self, peers: tuple[Peer, ...] | None = None) -> Iterator[tuple[int, Peer]]:
        return product(range(1, self.rounds + 1), peers or self.peers)


Run = Callable[[Bench], Iterator[Sample]]


def _rates(line: str, measure: Callable[[Peer, float], float]) -> Run:
    """A line of work per second: warmed up once per peer, then measured round by round."""

    def run(bench: Bench) -> Iterator[Sample]:
        for peer in bench.peers:
            measure(peer, WARM_SECONDS)
        for number, peer in bench.interleaved():
            before = peer.cpu_seconds()
            rate = measure(peer, MEASURE_SECONDS)
            used = (peer.cpu_seconds() - before) / (rate * MEASURE_SECONDS) * 1e6
            yield Sample(line, "rate", peer.name, number, rate, used if peer.program else None)

    return run


def _pages(path: str, *, keep_alive: bool = True) -> Callable[[Peer, float], float]:
    def measure(peer: Peer, seconds: float) -> float:
        return load.requests_per_second(peer.target("pages"), path, seconds, keep_alive=keep_alive)

    return measure


def _echo(peer: Peer, seconds: float) -> float:
    return load.messages_per_second(peer.target("echo"), seconds, connections=64)


def _transfers(line: str, transfer: Callable[[Bench, Peer], load.Transfer]) -> Run:
    """A line of one large body: its rate, and by how much the proxy grew above what it held before."""

    def run(bench: Bench) -> Iterator[Sample]:
        for peer in bench.peers:
            transfer(bench, peer)
        for number, peer in bench.interleaved():
            before, held = peer.cpu_seconds(), 0
            if peer.program:
                peer.program.forget_peak()
                held = peer.program.resident()
            done = transfer(bench, peer)
            mib = done.size / (1 << 20)
            used = (peer.cpu_seconds() - before) / mib * 1e6
            yield Sample(line, "rate", peer.name, number, done.mib_per_second, used if peer.program else None)
            if peer.program:
                yield Sample(line, "growth", peer.name, number, (peer.program.peak() - held) / (1 << 20))

    return run


def _download(_bench: Bench, peer: Peer) -> load.Transfer:
    return load.download(peer.target("pages"), "/big")


def _upload(bench: Bench, peer: Peer) -> load.Transfer:
    return load.upload(peer.target("sink"), bench.site.big_file)


def _tunnels(bench: Bench) -> Iterator[Sample]:
    """Once, in fresh processes: memory that an earlier round has freed would hide what a tunnel needs."""
    for start in (bench.site.gateway, bench.site.nginx, bench.site.caddy):
        with start() as peer, ExitStack() as tunnels:
            if peer.program is None:
                raise AssertionError("a proxy is a program")
            load.latencies(peer.target("pages"), WARM_SECONDS)
            tunnels.enter_context(load.open_websocket(peer.target("echo")))
            before = peer.program.resident()
            for _ in range(TUNNELS):
                tunnels.enter_context(load.open_websocket(peer.target("echo")))
            yield Sample("tunnels", "kib", peer.name, 1, (peer.program.resident() - before) / 1024 / TUNNELS)


def _latency(bench: Bench) -> Iterator[Sample]:
    direct = {"p50": 0.0, "p99": 0.0}
    for number, peer in bench.interleaved():
        found = load.latencies(peer.target("other"), MEASURE_SECONDS / 2)
        for metric, part in (("p50", 0.5), ("p99", 0.99)):
            value = load.percentile(found, part) * 1e6
            yield Sample("latency", metric, peer.name, number, value)
            if peer.program is None:
                direct[metric] = value
            else:
                yield Sample("latency", f"{metric} added", peer.name, number, value - direct[metric])


def _routes(bench: Bench) -> Iterator[Sample]:
    measure, plain = _pages("/"), 0.0
    with bench.site.gateway("gateway, routes", routes=ROUTES) as loaded:
        for peer in (bench.gateway, loaded):
            measure(peer, WARM_SECONDS)
        for number, peer in bench.interleaved((bench.gateway, loaded)):
            rate = measure(peer, MEASURE_SECONDS)
            if peer is loaded:
                yield Sample("routes", "rate", "gateway", number, rate)
                yield Sample("routes", "loss", "gateway", number, (1 - rate / plain) * 100)
            plain = rate


def _neighbour(bench: Bench) -> Iterator[Sample]:
    for number, peer in bench.interleaved():
        quiet = load.latencies(peer.target("other"), MEASURE_SECONDS / 2)
        with load.downloading(peer.target("pages"), "/big"):
            busy = load.latencies(peer.target("other"), MEASURE_SECONDS / 2)
        p99 = load.percentile(quiet, 0.99), load.percentile(busy, 0.99)
        yield Sample("neighbour", "p99 quiet", peer.name, number, p99[0] * 1e6)
        yield Sample("neighbour", "p99 busy", peer.name, number, p99[1] * 1e6)
        yield Sample("neighbour", "times", peer.name, number, p99[1] / p99[0])


LINES: dict[str, Run] = {
    "small": _rates("small", _pages("/")),
    "64k": _rates("64k", _pages("/64k")),
    "download": _transfers("download", _download),
    "upload": _transfers("upload", _upload),
    "connections": _rates("connections", _pages("/", keep_alive=False)),
    "echo": _rates("echo", _echo),
    "tunnels": _tunnels,
    "latency": _latency,
    "routes": _routes,
    "neighbour": _neighbour,
}
