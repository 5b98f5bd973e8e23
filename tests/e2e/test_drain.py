"""SIGTERM, up to the end of the process."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from gateway.demo.workspace import WorkspaceServers
from gateway.spread import PER_SECOND
from tests.e2e.conftest import Setup
from tests.e2e.test_workers import read_event

HOST = "3000-apple-bear-blue.workspaces.localhost"
LONG = 300  # seconds: longer than any test, which ends it by a second signal
GOING_AWAY = 1001


async def readiness(setup: Setup) -> int:
    """What a load balancer sees."""
    status, _, _ = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/readyz")
    return status


async def end(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> int:
    """Send one more signal, and wait for the exit status."""
    process.send_signal(number)
    async with asyncio.timeout(30):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def test_for_the_delay_it_is_not_ready_and_lets_people_in(setup: Setup) -> None:
    """Who comes is answered, and asked to come anew for the next request: then elsewhere."""
    setup.settings["drain"] = {"delay": LONG}
    async with setup.serve() as process:
        before = await readiness(setup)
        process.terminate()
        await read_event(process, "gateway.draining")
        after = await readiness(setup)
        status, headers, _ = await setup.get(f"http://127.0.0.1:{setup.ports.http}/", Host=HOST)
        _, writer = await asyncio.open_connection("127.0.0.1", setup.ports.ssh)
        writer.close()
        code = await end(process)

    assert (before, after) == (200, 503)
    assert (status, headers["Connection"]) == (502, "close")
    assert code == 128 + signal.SIGTERM


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_with_the_status_of_that_signal(
    setup: Setup, workers: int, number: signal.Signals
) -> None:
    """Somebody was cut off, which 0 would deny."""
    setup.settings |= {"drain": {"delay": LONG}, "workers": workers, "http": {"enabled": False}}
    async with setup.serve() as process:
        process.terminate()
        await read_event(process, "gateway.draining")
        code = await end(process, number)

    assert code == 128 + number


async def test_after_the_delay_nobody_is_let_in(setup: Setup) -> None:
    """And with nobody there it ends, with status 0."""
    setup.settings["drain"] = {"delay": 0.1}
    async with setup.serve() as process:
        code = await end(process)

    assert code == 0


@pytest.fixture
async def busy(setup: Setup) -> AsyncIterator[Setup]:
    """A public port with a WebSocket that echoes."""
    async with WorkspaceServers("apple-bear-blue") as servers:
        setup.routes["workspaces"][0]["ports"][0]["port"] = servers.site_port
        yield setup


async def wait_closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, float]:
    """The code with which it is closed, and when."""
    async with asyncio.timeout(30):
        await socket.receive()
    return socket.close_code, asyncio.get_running_loop().time()


async def test_what_is_left_after_the_grace_is_closed_one_after_the_other(busy: Setup) -> None:
    """Each WebSocket with 1001, by which its page knows that it may come back."""
    crowd = 2 * PER_SECOND
    busy.settings["http"]["drain_grace"] = 0.2
    busy.settings["http"]["max_connections_per_ip"] = 0
    async with busy.serve() as process, AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        url = f"http://127.0.0.1:{busy.ports.http}/ws"
        opening = [client.ws_connect(url, headers={"Host": HOST}) for _ in range(crowd)]
        sockets = await asyncio.gather(*(stack.enter_async_context(each) for each in opening))
        process.terminate()
        closed = await asyncio.gather(*map(wait_closed, sockets))
        code = await end(process, signal.SIGCONT)  # which does nothing

    times = sorted(time for _, time in closed)
    assert {code for code, _ in closed} == {GOING_AWAY}
    assert times[-1] - times[0] >= (crowd - 1) / PER_SECOND / 2  # not in one moment, whatever else the machine does
    assert code == 0
