"""A gateway whose log nobody reads, or that cannot be written: everything else goes on."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncssh

from tests.e2e.conftest import CLIENT_SECRET, SIGNING_KEY, Setup, running

SENT = 400
TARGET = "/" + "x" * 1000  # a line of more than a kilobyte for each: six times what a pipe holds


@asynccontextmanager
async def logging_to(setup: Setup, place: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway, ready, with its standard output in some file; what it says otherwise comes by the process."""
    under = ["/bin/sh", "-c", 'exec "$@" 1>"$0"', place]
    async with running(*setup.write(), under=under) as process:
        async with asyncio.timeout(20):
            while not await is_ready(setup):
                pass  # the log, which would tell, is what is not read here
        yield process


async def is_ready(setup: Setup) -> bool:
    try:
        return (await setup.get(f"http://127.0.0.1:{setup.ports.admin}/readyz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def ask(setup: Setup) -> None:
    """Far more requests than a pipe holds lines of, each answered."""
    async with aiohttp.ClientSession() as client:
        for _ in range(SENT):
            async with client.get(f"http://127.0.0.1:{setup.ports.http}{TARGET}", headers={"Host": "un.known"}) as got:
                assert got.status == 404


async def dropped(setup: Setup) -> dict[str, float]:
    """What the metrics say was lost, by why."""
    _, _, text = await setup.get(f"http://127.0.0.1:{setup.ports.admin}/metrics")
    lines = [line for line in text.splitlines() if line.startswith("workspaces_gateway_log_lines_dropped_total{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def test_a_log_that_nobody_reads_stops_nobody(setup: Setup, tmp_path: Path) -> None:
    """And all of it is there when somebody reads, up to the end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    async with logging_to(setup, str(fifo)) as process:
        await ask(setup)
        assert await dropped(setup) == {"full": 0, "failed": 0}
        os.set_blocking(reader, True)
        cat = await asyncio.create_subprocess_exec("cat", stdin=reader, stdout=asyncio.subprocess.PIPE)
        os.close(reader)
        process.terminate()
        output, _ = await cat.communicate()
        await process.wait()

    told = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in told].count("http.request") == SENT
    assert (told[-1]["event"], told[-1]["exit_status"]) == ("gateway.closed", 0)
    assert process.returncode == 0


async def test_a_log_that_cannot_be_written_stops_nobody(setup: Setup) -> None:
    """A disk that is full: the lines are lost and counted."""
    async with logging_to(setup, "/dev/full") as process:
        await ask(setup)
        lost = await dropped(setup)
        process.terminate()
        said, _ = await process.communicate()

    assert lost["failed"] > 0
    assert process.returncode == 0
    assert said == b""


async def test_a_reader_of_the_log_that_leaves_stops_nobody(setup: Setup) -> None:
    """It had a pipe, and the pipe is broken."""
    async with setup.serve() as process:
        assert process.stdout is not None
        transport = process.stdout._transport  # type: ignore[attr-defined]  # the only way to close one's end
        transport.close()
        await ask(setup)
        lost = await dropped(setup)
        process.terminate()
        await process.wait()

    assert lost["failed"] > 0
    assert process.returncode == 0


def host_key(setup: Setup) -> str:
    """A line of the private key."""
    return Path(setup.settings["ssh"]["host_key_files"][0]).read_text().splitlines()[2]


async def test_a_process_says_none_of_its_secrets_whatever_fails(setup: Setup) -> None:
    """At the level debug, on standard output and standard error, while GitLab and Redis are away."""
    key = host_key(setup)
    secrets = {name: f"hush-of-the-{name}" for name in ("service", "redis", "person", "query")}
    setup.settings["log_level"] = "debug"
    setup.settings["auth"]["service_token"] = secrets["service"]
    setup.settings["sessions"] = {"store": "redis://127.0.0.1:9/0", "password": secrets["redis"]}
    private = f"60001-apple-bear-blue.workspaces.localhost:{setup.ports.http}"
    portal = f"workspaces.localhost:{setup.ports.http}"
    async with setup.serve() as process:
        base = f"http://127.0.0.1:{setup.ports.http}"
        await setup.get(f"{base}/?token={secrets['query']}", Host=private, **{"X-Workspaces-Token": secrets["person"]})
        await setup.get(f"{base}/auth/start?to={secrets['query']}", Host=portal, Accept="text/html")
        await setup.get(f"{base}/auth/callback?code={secrets['query']}&state=x", Host=portal, Accept="text/html")
        try:
            async with asyncssh.connect(
                "127.0.0.1",
                setup.ports.ssh,
                username="apple-bear-blue",
                password=secrets["person"],
                known_hosts=None,
                config=None,
                client_keys=None,
            ):
                raise AssertionError("nobody can be let in without GitLab")
        except asyncssh.Error:
            pass
        process.terminate()
        output, _ = await process.communicate()
    text = output.decode()

    told = [json.loads(line) for line in text.splitlines()]
    assert {"http.request", "ssh.refused", "gateway.closed"} <= {line["event"] for line in told}
    assert [name for name in (*secrets.values(), SIGNING_KEY, CLIENT_SECRET, key) if name in text] == []
