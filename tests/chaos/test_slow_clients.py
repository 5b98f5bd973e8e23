"""What slow clients, floods and idle crowds cost everybody else: nearly nothing.

Two gateways stand beside each other, of which one is attacked. The same visitor asks both in turn, so that
whatever else this machine does, the attackers themselves included, is in both figures; what differs is the attack's
doing. One round in which the attacked one's p99 is within three times the other's is enough: noise only ever adds.
"""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from gateway.demo.world import free_ports
from tests.chaos.conftest import NAME, SITE, ZONE, Stage, open_stage, wait_for
from tests.e2e.conftest import Setup

QUESTIONS = 200  # in a round, of each gateway
ROUNDS = 8  # at most
FACTOR = 3.0
IDLE = 10_000


@dataclass(frozen=True)
class Attack:
    """A program that attacks one gateway, and the memory that each of its clients may cost."""

    name: str
    command: Callable[[Stage], list[str]]
    clients: int
    bytes_each: int
    has_begun: Callable[[Stage], Awaitable[bool]]

    def __str__(self) -> str:
        return self.name


def slowhttptest(name: str, clients: int, bytes_each: int, *options: str, path: str = "/") -> Attack:
    """Debian's program."""

    def command(stage: Stage) -> list[str]:
        rate = ["-c", str(clients), "-r", str(clients // 4), "-l", "120", "-p", "5", "-v", "0"]
        hosts = stage.setup.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {SITE}-{NAME}.{ZONE}\n")  # not every system knows names below it
        program = ["slowhttptest", *options, *rate, "-u", stage.url(SITE, path)]
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts), *program]

    async def has_begun(stage: Stage) -> bool:
        return await stage.metric("http_connections") >= clients * 0.9

    return Attack(name, command, clients, bytes_each, has_begun)


def ours(kind: str, clients: int, bytes_each: int, metric: str, at_least: int) -> Attack:
    """A program of ours, where Debian has none."""

    def command(stage: Stage) -> list[str]:
        port = stage.setup.ports.ssh if kind.startswith("ssh") else stage.setup.ports.http
        token = [stage.token(stage.ada), NAME] if kind == "ssh-undrained" else []
        return [sys.executable, "-m", "tests.chaos.attacker", kind, str(port), str(clients), *token]

    async def has_begun(stage: Stage) -> bool:
        return await stage.metric(metric) >= at_least

    return Attack(kind, command, clients, bytes_each, has_begun)


ATTACKS = [
    slowhttptest("slow heads", 1000, 32 << 10, "-H", "-i", "1"),
    slowhttptest("slow bodies", 1000, 32 << 10, "-B", "-i", "1", "-s", "100000", path="/upload"),
    slowhttptest("slow readers", 500, 512 << 10, "-X", "-w", "512", "-y", "1024", path="/download?size=10000000"),
    ours("idle", IDLE, 10 << 10, "http_connections", IDLE),
    ours("flood", 500, 128 << 10, "http_connections", 1),
    ours("ssh-version", 500, 64 << 10, "ssh_connections", 40),
    ours("ssh-kex", 500, 64 << 10, "ssh_connections", 40),
    ours("ssh-auth", 40, 512 << 10, "ssh_connections", 30),
    ours("ssh-undrained", 20, 8 << 20, "ssh_connections", 20),
]


@pytest.fixture
async def pair(setup: Setup, tmp_path: Path) -> AsyncIterator[tuple[Stage, Stage]]:
    """The gateway that is attacked, and the one that is not."""
    other = Setup(tmp_path / "other", free_ports(), _copy(setup.settings), _copy(setup.routes))
    other.folder.mkdir()
    for each in (setup, other):
        ports, settings = each.ports, each.settings
        settings["auth"] = {
            **settings["auth"],
            "redirect_uri": f"http://workspaces.localhost:{ports.http}/auth/callback",
        }
        settings["http"] = {**settings["http"], "port": ports.http, "max_connections_per_ip": 0}
        settings["http"] |= {"max_connections": 2 * IDLE, "max_connections_per_workspace": 0}
        settings["ssh"] = {**settings["ssh"], "port": ports.ssh, "max_startups_per_ip": 0, "max_connections_per_ip": 0}
        settings["admin"] = {**settings["admin"], "port": ports.admin}
        settings["routing"] = {"file": str(each.folder / "routes.yaml")}
    async with open_stage(setup) as attacked, open_stage(other) as quiet:
        yield attacked, quiet


def _copy(told: dict[str, object]) -> dict[str, object]:
    return {name: dict(section) if isinstance(section, dict) else section for name, section in told.items()}


def resident(stage: Stage) -> int:
    """The memory of its process, in bytes."""
    assert stage.process is not None
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{stage.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


class Visitor:
    """Somebody with a kept connection to a page and an open SSH session, who measures both."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        shell: asyncssh.SSHClientProcess[str],
    ) -> None:
        self._reader, self._writer, self._shell = reader, writer, shell
        self._ask = f"GET /headers HTTP/1.1\r\nHost: {SITE}-{NAME}.{ZONE}\r\n\r\n".encode()

    async def ask(self) -> float:
        """Seconds for one page."""
        began = time.perf_counter()
        self._writer.write(self._ask)
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert found is not None
        await self._reader.readexactly(int(found[1]))
        return time.perf_counter() - began

    async def type(self) -> float:
        """Seconds for one line to come back."""
        began = time.perf_counter()
        self._shell.stdin.write("x\n")
        assert await self._shell.stdout.readline() == "x\n"
        return time.perf_counter() - began


@asynccontextmanager
async def visit(stage: Stage) -> AsyncIterator[Visitor]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.setup.ports.http)
    async with await stage.ssh(stage.token(stage.ada)) as ssh, ssh.create_process("cat") as shell:
        try:
            yield Visitor(reader, writer, shell)
        finally:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def attacking(attack: Attack, stage: Stage) -> AsyncIterator[None]:
    """Until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *attack.command(stage),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await wait_for(lambda: attack.has_begun(stage), f"the attack by {attack}")
        assert process.returncode is None
        yield
        assert process.returncode is None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99) - 1]


async def measure(attacked: Visitor, quiet: Visitor) -> tuple[float, float]:
    """How many times the quiet one's p99 the attacked one's is, for pages and for keys."""
    pages: tuple[list[float], list[float]] = ([], [])
    keys: tuple[list[float], list[float]] = ([], [])
    for _ in range(QUESTIONS):
        for place, visitor in enumerate((attacked, quiet)):
            pages[place].append(await visitor.ask())
            keys[place].append(await visitor.type())
    return p99(pages[0]) / p99(pages[1]), p99(keys[0]) / p99(keys[1])


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_an_attack_costs_the_others_at_most_three_times_and_bounded_memory(
    pair: tuple[Stage, Stage], attack: Attack, record_property: Callable[[str, object], None]
) -> None:
    """Pages and keystrokes of somebody who is in, and the memory of the process; afterwards people come in."""
    attacked, _ = pair
    async with AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(visit(stage)) for stage in pair]
        await measure(visitors[0], visitors[1])
        before = resident(attacked)
        found: list[tuple[float, float]] = []
        async with attacking(attack, attacked):
            while len(found) < ROUNDS and not (found and max(map(min, zip(*found, strict=True))) <= FACTOR):
                found.append(await measure(visitors[0], visitors[1]))
            grown = resident(attacked) - before
        record_property("p99 times quiet, pages and keys", found)
        record_property("bytes for each client", grown // attack.clients)
        print(f"{attack}: {found} {grown >> 10} KiB, {(grown >> 10) / attack.clients:.1f} KiB each")  # noqa: T201 - for the table in tests/bench

    assert [min(ratios) <= FACTOR for ratios in zip(*found, strict=True)] == [True, True], found
    assert grown <= attack.clients * attack.bytes_each

    async def is_open() -> bool:
        try:
            return await attacked.program(attacked.token(attacked.ada)) == 200
        except OSError:
            return False

    await wait_for(is_open, "the way in")
