"""What a person's doings ask of GitLab and of the Redis of several replicas, counted at both of them.

    make bench-users

A gateway on a clock that is moved, a stand-in GitLab that counts its calls, and Debian's Redis, which counts its
commands. The numbers are those of the code, not of a machine: they are the same every time.
"""

import io
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import uvloop
from redis.asyncio import Redis

from auth.access import RECHECK_INTERVAL
from config.settings import SessionSettings
from gateway.demo.browser import Browser
from gateway.demo.terminal import run_over_ssh
from gateway.demo.world import EDITOR_PORT, OpenWorld, free_ports, open_world
from gateway.telemetry.log import open_log
from tests.clock import RunningClock
from tests.redis_server import run_redis

_NOT_COUNTED = {"info", "hello", "client|setinfo", "subscribe", "ping", "select"}
"""What is asked once a connection, or by this measurement."""


@dataclass
class Counted:
    """Both sides' counts, from one look to the next."""

    world: OpenWorld
    redis: Redis
    calls: int = 0
    commands: int = 0

    async def tell(self, what: str) -> None:
        calls, commands = sum(self.world.gitlab.calls.values()), await self._commands()
        sys.stdout.write(f"{what:<64}{calls - self.calls:>8}{commands - self.commands:>8}\n")
        self.calls, self.commands = calls, commands

    async def start(self) -> None:
        self.calls, self.commands = sum(self.world.gitlab.calls.values()), await self._commands()
        sys.stdout.write(f"{'':<64}{'GitLab':>8}{'Redis':>8}\n")

    async def _commands(self) -> int:
        told = cast(dict[str, dict[str, int]], await self.redis.info("commandstats"))
        names = {name: name.removeprefix("cmdstat_") for name in told}
        return sum(told[name]["calls"] for name, command in names.items() if command not in _NOT_COUNTED)


@asynccontextmanager
async def open_counted(clock: RunningClock) -> AsyncIterator[Counted]:
    """A gateway whose calls are counted."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(run_redis())
        sections = {"sessions": SessionSettings(store=server.url)}
        log = open_log("info", io.StringIO())
        world = await stack.enter_async_context(open_world(free_ports(), log, clock, sections))
        yield Counted(world, await stack.enter_async_context(Redis.from_url(server.url)))


async def main() -> None:
    clock = RunningClock()
    async with open_counted(clock) as counted, Browser(counted.world.visit.network) as ada:
        visit = counted.world.visit
        editor, login = visit.address(visit.running, EDITOR_PORT, "/"), visit.login(visit.running, visit.users[0].token)
        await counted.start()
        await ada.visit(editor, "ada")
        await counted.tell("signing in, and the first host")
        await ada.visit(visit.address(visit.stopped, EDITOR_PORT, "/"), "ada")
        await counted.tell("each further host")
        for _ in range(100):
            await ada.fetch(editor)
        await counted.tell("a hundred requests to it")
        clock.ahead += RECHECK_INTERVAL + 1
        await ada.fetch(editor)
        await counted.tell("going on to use it, every five minutes")
        await ada.navigate(f"{visit.portal_url}/")
        await counted.tell("a look at the portal")
        for _ in range(2):
            await run_over_ssh(login, "true")
            await counted.tell("a login over SSH")


if __name__ == "__main__":
    uvloop.run(main())
