"""`python -m gateway top` as a person types it, against a running gateway."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import closing
from functools import partial

import pytest

from tests.gateway.conftest import Live, run_command

ENVIRON = {"PATH": os.environ["PATH"], "TERM": "xterm"}


async def top(live: Live, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command, asked about this gateway."""
    return await run_command(
        "top", "--url", live.world.visit.admin_url, "--interval", "0.2", *arguments, environ=ENVIRON
    )


async def test_once_is_one_screen(live: Live) -> None:
    """With what has just been asked for, and without a control sequence where there is no terminal."""
    async with live.person() as stranger:
        await stranger.fetch(live.url("/seen?but=not-this"))
    status, output, errors = await top(live, "--once")

    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert "ready" in lines[0]
    assert any(line.startswith("routes   6 hosts") for line in lines)
    assert any(line.endswith(f"{live.world.visit.running}  3000  /seen") for line in lines)
    assert "not-this" not in output
    assert "\x1b" not in output


async def test_programs_get_json(live: Live) -> None:
    """The same figures under names, one object a line."""
    async with live.person() as stranger:
        await stranger.fetch(live.url("/seen"))
    status, output, _ = await top(live, "--once", "--json")
    told = json.loads(output)

    assert status == 0
    assert told["process"]["ready"] is True
    assert told["around"]["workspaces"] == 3
    assert told["slow"]["ended"][0]["path"] == "/seen"


async def test_a_terminal_is_painted_over_until_it_is_interrupted(live: Live) -> None:
    """From its upper left corner again and again; Ctrl-C is the way out and no fault."""
    ours, theirs = os.openpty()
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "top", "--url", live.world.visit.admin_url, "--interval", "0.1"),
            env=ENVIRON,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        async with asyncio.timeout(40):
            while shown.count(b"workspaces gateway") < 3:
                shown += await asyncio.to_thread(terminal.read, 65536)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0

    first, _, rest = shown.partition(b"workspaces gateway")
    assert first == b"\x1b[2J\x1b[H"
    assert rest.count(b"\x1b[H") >= 2
    assert b"\x1b[2J" not in rest
    assert b"Traceback" not in rest


async def test_a_gateway_that_goes_away_is_waited_for(live: Live) -> None:
    """It may be restarting; what is said meanwhile says so."""
    relay = await asyncio.start_server(partial(relayed, live), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "top", "--json", "--interval", "0.1", "--url", address),
        env=ENVIRON,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(40):
        assert "process" in json.loads(await process.stdout.readline())
        relay.close()
        while "error" not in (line := json.loads(await process.stdout.readline())):
            assert "process" in line
        process.terminate()
        await process.communicate()

    assert "Connection refused" in line["error"]


async def relayed(live: Live, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One answer of the admin port, and the end of the connection."""
    port = int(live.world.visit.admin_url.rpartition(":")[2])
    there, back = await asyncio.open_connection("127.0.0.1", port)
    asked = await reader.readuntil(b"\r\n\r\n")
    back.write(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    writer.write(await there.read())
    writer.close()
    back.close()


async def test_nothing_there_is_said_with_what_to_do() -> None:
    """Status 1, one line, no traceback."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = str(sock.getsockname()[1])
        status, output, errors = await run_command("top", "--once", environ={**ENVIRON, "ADMIN_PORT": port})

    assert (status, output) == (1, "")
    assert f"127.0.0.1:{port}" in errors
    assert "Connection refused" in errors
    assert "--url" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("door", ["http", "ssh"])
async def test_another_port_of_the_gateway_is_told_from_its_admin_port(live: Live, door: str) -> None:
    """Which people mistake for one another."""
    port = getattr(live.world.settings, door).port
    status, _, errors = await run_command("top", "--once", "--url", f"http://127.0.0.1:{port}", environ=ENVIRON)

    assert status == 1
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--interval", "0"), ("--interval", "often"), ("--forever",)])
async def test_a_wrong_command_line_is_explained(arguments: tuple[str, ...]) -> None:
    """Status 2, as of every command."""
    status, _, errors = await run_command("top", *arguments, environ=ENVIRON)

    assert status == 2
    assert "usage: python -m gateway top" in errors
