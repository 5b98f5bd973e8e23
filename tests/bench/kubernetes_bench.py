"""What following a large cluster costs: 100,000 Services listed, a thousand changes a second, all of them listed again.

    make bench-kubernetes

The API server is the tests' own stand-in in a process of its own, so that what is measured is the gateway's side: its
library, its parsing, its table. Prints one line for each figure that the design promises; `SERVICES=n` shortens it.
"""

import asyncio
import gc
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from gateway.routes.cluster import ClusterRoutes
from gateway.routes.writer import RouteWriter
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.discovery import RoutingRules
from routing.kubernetes import open_cluster
from routing.table import RouteTable
from tests.kubernetes.clusters import write_kubeconfig
from tests.kubernetes.objects import ZONE

SERVICES = int(os.environ.get("SERVICES", "100000"))
CHANGES_PER_SECOND = 1000
CHANGE_SECONDS = 10
PROBE_SECONDS = 0.005  # between two looks whether the loop comes by in time


@dataclass
class Pauses:
    """How long the loop let others wait: wall-clock time, and the processor time of this thread meanwhile."""

    wall: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        while True:
            wall, own = time.perf_counter(), time.thread_time()
            await asyncio.sleep(PROBE_SECONDS)
            self.wall.append(time.perf_counter() - wall - PROBE_SECONDS)
            self.own.append(time.thread_time() - own)

    def take(self) -> str:
        """The longest since the last time; on a shared machine only the second is the gateway's own."""
        wall, own = (max(values) * 1000 for values in (self.wall, self.own))
        told = f"longest pause {wall:.0f} ms by the clock, {own:.0f} ms of processor time"
        self.wall.clear()
        self.own.clear()
        return told


@dataclass
class Bench:
    """A gateway's table that follows the stand-in."""

    table: RouteTable
    orders: asyncio.subprocess.Process

    async def order(self, **what: object) -> dict[str, float]:
        """Have the stand-in do something."""
        assert self.orders.stdin is not None
        assert self.orders.stdout is not None
        self.orders.stdin.write(json.dumps(what).encode() + b"\n")
        answer: dict[str, float] = json.loads(await self.orders.stdout.readline())
        return answer


@asynccontextmanager
async def run_server() -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.kubernetes_server", str(SERVICES)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield process, int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def main() -> None:
    with TemporaryDirectory(prefix="workspaces-bench-") as folder:
        async with run_server() as (process, port):
            kubeconfig = write_kubeconfig(Path(folder) / "kubeconfig", f"http://127.0.0.1:{port}", "bench")
            async with open_cluster(kubeconfig) as api:
                table, metrics, log = RouteTable(), Metrics(), open_log("warn", sys.stderr)
                writer = RouteWriter(table, ended=lambda _uid: None, metrics=metrics, log=log)
                routes = ClusterRoutes(api, RoutingRules(f"portal.{ZONE}"), (), writer=writer, metrics=metrics, log=log)
                gc.collect()
                gc.freeze()
                gc.set_threshold(20_000, 10, 10)  # as the gateway does
                say(f"before the list: {memory()}")
                await follow(Bench(table, process), routes)


async def follow(bench: Bench, routes: ClusterRoutes) -> None:
    pauses, table, began = Pauses(), bench.table, now()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(pauses.watch()), group.create_task(routes.follow())]
        await until(lambda: table.synced)
        say(f"first table: {spent(began)}, {len(table)} routes, {memory()}; {pauses.take()}")
        await until(lambda: not routes.remarks)
        say(f"states of all, by EndpointSlices: {spent(began)}, {memory()}; {pauses.take()}")
        await follow_changes(bench, pauses)
        await follow_relist(bench, pauses)
        for task in tasks:
            task.cancel()


async def follow_changes(bench: Bench, pauses: Pauses) -> None:
    """Each change writes the time at which it was made into the port name of its Service."""
    delays: list[float] = []
    seen: set[str] = set()
    table = bench.table

    def look() -> None:
        for number in range(len(seen), int(CHANGES_PER_SECOND * CHANGE_SECONDS)):
            route = table.get_route(f"3000-apple-{number}.{ZONE}")
            if route is None or not route.port_name.startswith("t"):
                return
            seen.add(route.host)
            delays.append(time.time() - float(route.port_name[1:].replace("-", ".")))

    table.subscribe(look)
    began = now()
    answer = await bench.order(do="change", rate=CHANGES_PER_SECOND, seconds=CHANGE_SECONDS)
    await until(lambda: len(delays) == CHANGES_PER_SECOND * CHANGE_SECONDS)
    say(
        f"{answer['changes']:.0f} changes in {answer['seconds']:.1f} s: each followed within"
        f" {statistics.median(delays) * 1000:.0f} ms in the middle and {max(delays) * 1000:.0f} ms at most;"
        f" {spent(began)}, {memory()}; {pauses.take()}"
    )


async def follow_relist(bench: Bench, pauses: Pauses) -> None:
    """One Service goes while nobody watches, and the server forgets."""
    began = now()
    await bench.order(do="forget")
    await until(lambda: bench.table.get_workspace("apple-0") is None)
    say(f"all listed again: {spent(began)}, {memory()}; {pauses.take()}")


async def until(is_so: Callable[[], object], every: float = 0.02) -> None:
    while not is_so():  # noqa: ASYNC110 - a bench looks from outside, where nothing tells it
        await asyncio.sleep(every)


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def spent(began: tuple[float, float]) -> str:
    """By the clock, and of the processor; on a shared machine only the second is the gateway's own."""
    wall, own = (after - before for after, before in zip(now(), began, strict=True))
    return f"{wall:.1f} s, {own:.1f} s of them processor time"


def memory() -> str:
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return (
        f"{resident / 1e6:.0f} MB resident, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB at most"
    )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
