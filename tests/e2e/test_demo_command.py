"""`python -m gateway demo`, as a person runs it."""

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from gateway.demo.world import Ports, free_ports

COMMAND = (sys.executable, "-m", "gateway", "demo")


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run the demo to its end; exit status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(50):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_the_check_holds_and_prints_one_line_per_step() -> None:
    """On free ports, with nothing on the error output."""
    status, output, errors = await run("--check")

    assert (status, errors) == (0, "")
    assert output.splitlines()[-1] == "11 of 11 steps are ok"
    assert len(output.splitlines()) == 12


async def test_the_check_can_be_read_by_a_program() -> None:
    """As JSON, with a time for each step."""
    status, output, _ = await run("--check", "--json")

    told = json.loads(output)
    assert status == 0
    assert told["ok"]
    assert all(step["ok"] and step["seconds"] >= 0 and step["detail"] for step in told["steps"])


async def test_an_occupied_port_is_named() -> None:
    """And nothing is left running."""
    ports = free_ports()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", ports.ssh))
        taken.listen()
        status, _, errors = await run(*flags(ports))

    assert status == 1
    assert f"127.0.0.1:{ports.ssh}" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("port", ["0", "65536", "-1", "web", ""])
async def test_what_is_no_port_is_named(port: str) -> None:
    """Before anything is started."""
    status, _, errors = await run(f"--http-port={port}")

    assert status == 2
    assert errors.endswith(f"argument --http-port: '{port}' is not a port from 1 to 65535\n")


async def test_one_interrupt_ends_everything_it_started() -> None:
    """The gateway, the stand-ins and every sshd, with status 0."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *flags(free_ports()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        await process.stdout.readuntil(b"The password is a GitLab token")
        children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()

    assert (process.returncode, errors) == (0, b"")
    assert children
    assert still_running(children) == []


def flags(ports: Ports) -> list[str]:
    """The flags that put the demo on these ports."""
    return [f"--http-port={ports.http}", f"--ssh-port={ports.ssh}", f"--admin-port={ports.admin}"]


def still_running(pids: list[int]) -> list[int]:
    """Those of these processes that run; one that only waits for its parent to notice its end does not."""
    return [pid for pid in pids if process_state(pid) not in ("Z", "")]


def process_state(pid: int) -> str:
    """The letter that proc(5) gives for it; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return found + [grandchild for child in found for grandchild in descendants(child)]
