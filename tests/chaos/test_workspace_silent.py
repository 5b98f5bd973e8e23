"""What happens when a workspace accepts connections and never answers: its visitors wait, and nobody else does."""

import asyncio
from contextlib import suppress

import asyncssh
import pytest

from tests.chaos.conftest import NAME, SITE, ZONE, Stage, open_stage, wait_for
from tests.e2e.conftest import Setup
from tests.link import open_link

VISITORS = 200


async def ask(stage: Stage, host: str) -> bytes:
    """The first line of an answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.setup.ports.http)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}.{ZONE}\r\nAccept: text/plain\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()


async def test_a_workspace_that_never_answers_costs_the_others_nothing(setup: Setup) -> None:
    """Two hundred wait for it; its neighbours are answered, its sshd is said to be silent, and who leaves is gone."""
    setup.settings["ssh"]["handshake_timeout"] = 2
    async with open_stage(setup) as stage:
        ports = setup.routes["workspaces"][0]["ports"]
        ssh_port = next(entry["port"] for entry in ports if entry["target_port"] == 60022)
        site_port = next(entry["port"] for entry in ports if entry["target_port"] == SITE)
        async with open_link(ssh_port) as sshd, open_link(site_port) as site:
            for link, target in ((sshd, 60022), (site, SITE)):
                link.silence()
                next(entry for entry in ports if entry["target_port"] == target)["port"] = link.port
            stage.declare("public")

            async def leads_there() -> bool:
                before = site.accepted
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await ask(stage, f"{SITE}-{NAME}")
                return site.accepted > before

            await wait_for(leads_there, "the new route")
            before = site.accepted
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(ask(stage, f"{SITE}-{NAME}")) for _ in range(VISITORS)]
                await wait_for(lambda: _has(site.accepted - before, VISITORS), "their connections")
                assert await stage.program(stage.token(stage.ada)) == 200  # the editor beside it
                with pytest.raises(asyncssh.Error, match="does not answer"):
                    await stage.ssh(stage.token(stage.ada))
                assert not any(task.done() for task in waiting)
                for task in waiting:
                    task.cancel()
            await wait_for(lambda: _is_zero(stage), "the end of those who left")


async def _has(count: int, wanted: int) -> bool:
    return count >= wanted


async def _is_zero(stage: Stage) -> bool:
    return await stage.metric("http_connections") <= 1
