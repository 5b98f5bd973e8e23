"""Several worker processes on the same ports."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.telemetry.vocabulary import FIELDS
from tests.e2e.conftest import Setup
from tests.gateway.conftest import run_command
from tests.promtool import promtool
from tests.redis_server import run_redis

CLIENTS = 12  # enough that both of two workers get some, but for one run in two thousand


@pytest.fixture
def ssh_only(setup: Setup) -> Setup:
    """Two workers that serve SSH alone, which needs no shared sessions."""
    setup.settings["http"] = {"enabled": False}
    setup.settings["workers"] = 2
    # All of them may come to one worker, which would take ten of one address.
    setup.settings["ssh"] = {**setup.settings["ssh"], "max_startups_per_ip": 0}
    return setup


async def connect(setup: Setup) -> asyncio.StreamWriter:
    """A client that has been greeted by a worker."""
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.ports.ssh)
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"SSH-2.0-")
    return writer


def workers_of(process: asyncio.subprocess.Process) -> list[int]:
    """The pids of the gateway's children, in the order in which they were started."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def metric(setup: Setup, name: str) -> float:
    """The value of a metric, all labels added up."""
    _, _, text = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")
    return sum(
        float(value) for value in re.findall(rf"^workspaces_gateway_{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
    )


async def read_event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """The next log line of this event."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while True:
            line = json.loads(await process.stdout.readline())
            if line["event"] == name:
                return dict(line)


async def test_metrics_add_up_over_the_workers(ssh_only: Setup) -> None:
    """Whichever of them a client came to; what each holds a copy of is told once."""
    async with ssh_only.serve():
        writers = [await connect(ssh_only) for _ in range(CLIENTS)]
        assert await metric(ssh_only, "ssh_connections") == CLIENTS
        assert await metric(ssh_only, "workspaces") == 1
        assert await metric(ssh_only, "build_info") == 1
        assert await metric(ssh_only, "ready") == 1
        assert await metric(ssh_only, "workers") == 2
        for writer in writers:
            writer.close()


async def test_a_killed_worker_is_replaced_and_nobody_is_turned_away(ssh_only: Setup) -> None:
    """Clients who connect meanwhile are served by its successor."""
    async with ssh_only.serve() as process:
        children = workers_of(process)
        os.kill(children[0], signal.SIGKILL)
        died = await read_event(process, "worker.died")
        writers = [await connect(ssh_only) for _ in range(CLIENTS)]
        started = await read_event(process, "worker.started")

        assert len(children) == 2
        assert (died["worker"], started["worker"]) == (0, 0)
        assert await metric(ssh_only, "ssh_connections") == CLIENTS
        assert await metric(ssh_only, "worker_deaths_total") == 1
        for writer in writers:
            writer.close()


async def test_every_line_of_their_common_log_is_whole(ssh_only: Setup) -> None:
    """Of the workers and their parent, which all write to one pipe."""
    ssh_only.settings["log_level"] = "debug"
    clients = 100
    async with ssh_only.serve() as process:
        for _ in range(clients):
            (await connect(ssh_only)).close()
        process.terminate()
        async with asyncio.timeout(40):
            output, _ = await process.communicate()

    told = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in told].count("ssh.closed") == clients
    assert [line["event"] for line in told].count("gateway.closed") == 3
    assert all(line.keys() <= FIELDS.keys() for line in told)


async def test_sigterm_drains_all_of_them(ssh_only: Setup) -> None:
    """Exit status 0, and no worker is left."""
    async with ssh_only.serve() as process:
        children = workers_of(process)
        process.terminate()
        async with asyncio.timeout(20):
            await process.communicate()

    assert process.returncode == 0
    assert not any(is_running(child) for child in children)


async def test_workers_do_not_outlive_a_parent_that_was_killed(ssh_only: Setup) -> None:
    """Nobody would replace or drain them."""
    async with ssh_only.serve() as process:
        process.kill()
        async with asyncio.timeout(20):
            await process.communicate()  # the workers hold the other end of its output until they end

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", ssh_only.ports.ssh)


async def test_a_worker_that_cannot_start_ends_the_gateway(ssh_only: Setup) -> None:
    """With its own word and status 1, instead of being tried again for ever."""
    ssh_only.routes["workspaces"][0]["ports"][0]["port"] = "many"
    status, said = await ssh_only.fail()

    assert status == 1
    assert "workspaces.0.ports.0.port" in said
    assert "before it was ready" in said


async def test_with_http_they_need_shared_sessions(setup: Setup) -> None:
    """A sign-in would be known to one worker only."""
    setup.settings["workers"] = 2
    status, said = await setup.fail()

    assert status == 1
    assert "sessions.store" in said


@pytest.fixture
async def with_http(setup: Setup) -> AsyncIterator[Setup]:
    """Two workers that serve HTTP, with their sessions in a Redis."""
    async with run_redis() as redis:
        setup.settings["sessions"] = {"store": redis.url}
        setup.settings["ssh"] = {"enabled": False}
        setup.settings["workers"] = 2
        yield setup


async def test_http_workers_share_the_port_and_their_counts_add_up(with_http: Setup) -> None:
    """Each request on a connection of its own, to either of them."""
    async with with_http.serve():
        for _ in range(CLIENTS):
            status, _, _ = await with_http.get(f"http://127.0.0.1:{with_http.ports.http}/")
            assert status == 404
        assert await metric(with_http, "http_requests_total") == CLIENTS
        _, _, slow = await with_http.get(f"http://127.0.0.1:{with_http.ports.admin}/slowest")
        assert len(json.loads(slow)["ended"]) == CLIENTS
        _, _, page = await with_http.get(f"http://127.0.0.1:{with_http.ports.admin}/metrics")
        assert promtool("check", "metrics", told=page) == (0, "")
        address = f"http://127.0.0.1:{with_http.ports.admin}"
        _, told, _ = await run_command("top", "--once", "--json", "--interval", "0.2", "--url", address, environ={})
        assert json.loads(told)["process"]["workers"] == 2


async def test_http_workers_answer_what_they_were_asked_before_they_end(with_http: Setup) -> None:
    """SIGTERM in the middle of a request, on several connections at once."""
    asked, may_answer = asyncio.Queue[None](), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.put_nowait(None)
        await may_answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with_http.routes["workspaces"][0]["ports"][0]["port"] = server.sockets[0].getsockname()[1]
    host = f"3000-apple-bear-blue.workspaces.localhost:{with_http.ports.http}"
    async with server, with_http.serve() as process, asyncio.TaskGroup() as group:
        url = f"http://127.0.0.1:{with_http.ports.http}/"
        asking = [group.create_task(with_http.get(url, Host=host)) for _ in range(6)]
        for _ in asking:
            await asked.get()
        process.terminate()
        await read_event(process, "gateway.draining")
        may_answer.set()
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*asking)
            await process.communicate()

    assert [(status, text) for status, _, text in answers] == [(200, "late")] * 6
    assert process.returncode == 0


async def test_what_all_workers_saw_used_is_one_report(with_http: Setup) -> None:
    """Each workspace once, whichever worker its visitors came to."""
    async with with_http.serve():
        told: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while not told:
                _, _, text = await with_http.get(f"http://127.0.0.1:{with_http.ports.admin}/activity")
                told = json.loads(text)["workspaces"]

    assert [each["workspace"] for each in told] == [entry["name"] for entry in with_http.routes["workspaces"]]
