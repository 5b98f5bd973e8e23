"""What a person costs the gateway: an editor that is open and typed into, its requests, and a terminal over SSH.

    make bench-users                  # 200 people, about three minutes
    USERS=50 make bench-users         # a look

The gateway is a process of its own; the people, their workspaces and GitLab are in this one. Each line adds something
for all of them, and says what the gateway's process needs more than before, for a thousand: memory, and processor
time. Prints to the terminal and writes nothing.
"""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import cycle

import aiohttp
import asyncssh
import uvloop
from yarl import URL

from gateway.demo.world import EDITOR_PORT
from tests.soak.person import Person, open_person
from tests.soak.ssh_load import connect
from tests.soak.stage import Stage, open_stage
from tests.soak.vitals import Vitals

USERS = int(os.environ.get("USERS", "200"))
KEYSTROKES = 1.0  # a second: of someone who types, reads and thinks; what is typed comes back
REQUESTS = 10.0  # a minute: files that are opened and saved, extensions that ask for something
WINDOW_SECONDS = 20
KEYSTROKE, PAGE = 40, 2000  # bytes: a frame of an editor's protocol, a small answer
AT_ONCE = 8  # that open something at a time
OF_ONE_BROWSER = 50  # tabs: a client of aiohttp has a hundred connections at most
LIMITS = {"ssh": {"max_connections_per_ip": 0, "max_sessions_per_user": 0, "max_sessions_per_workspace": 0}}


class Users:
    """People who do more and more; whatever they have begun they go on with."""

    def __init__(self, stage: Stage, people: list[Person], tasks: asyncio.TaskGroup, stack: AsyncExitStack) -> None:
        self._stage = stage
        self._people = cycle(people)
        self._tasks = tasks
        self._stack = stack
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        self._terminals: list[asyncssh.SSHClientProcess[bytes]] = []

    def stop(self) -> None:
        self._stage.ending.set()

    async def open_tabs(self) -> None:
        """A WebSocket to the editor for each."""
        await self._for_each(self._open_tab)

    async def type_into_tabs(self) -> None:
        for socket in self._sockets:
            self._tasks.create_task(self._keep(1 / KEYSTROKES, partial(self._echo, socket)))

    async def ask(self) -> None:
        """Requests of the pages that are open."""
        for _ in range(USERS):
            self._tasks.create_task(self._keep(60 / REQUESTS, self._get))

    async def open_terminals(self) -> None:
        """An SSH connection with a terminal for each."""
        await self._for_each(self._open_terminal)

    async def type_into_terminals(self) -> None:
        for terminal in self._terminals:
            self._tasks.create_task(self._keep(1 / KEYSTROKES, partial(self._press, terminal)))

    async def _for_each(self, work: Callable[[], Awaitable[None]]) -> None:
        left = iter(range(USERS))

        async def some() -> None:
            for _ in left:
                await work()

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(some())

    async def _open_tab(self) -> None:
        url = self._stage.address(self._stage.workspaces[0], EDITOR_PORT, "/ws")
        self._sockets.append(await self._stack.enter_async_context(next(self._people).browser.open_socket(url)))

    async def _open_terminal(self) -> None:
        connection = await self._stack.enter_async_context(connect(self._stage, self._stage.workspaces[0]))
        self._terminals.append(await connection.create_process("cat", encoding=None))

    async def _echo(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_bytes(KEYSTROKE * b"k")
        await socket.receive_bytes()

    async def _press(self, terminal: asyncssh.SSHClientProcess[bytes]) -> None:
        terminal.stdin.write(b"k")
        await terminal.stdout.readexactly(1)

    async def _get(self) -> None:
        url = self._stage.address(self._stage.workspaces[0], EDITOR_PORT, f"/bytes?seed=s&bytes={PAGE}")
        browser = next(self._people).browser
        async with browser.session.get(URL(url, encoded=True), headers=browser.cookie_header(url)) as answer:
            await answer.read()

    async def _keep(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(random.uniform(0, seconds))  # noqa: S311 - they do not do it all at once
        while not self._stage.ending.is_set():
            await work()
            await asyncio.sleep(seconds)


@asynccontextmanager
async def open_users() -> AsyncIterator[tuple[Stage, Users]]:
    """The gateway, and people who are signed in."""
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(open_stage(0, LIMITS))
        browsers = -(-USERS // OF_ONE_BROWSER)
        people = [await stack.enter_async_context(open_person(stage, "ada")) for _ in range(browsers)]
        for person in people:
            await person.enter(stage.address(stage.workspaces[0], EDITOR_PORT))
        async with asyncio.TaskGroup() as tasks:
            users = Users(stage, people, tasks, stack)
            yield stage, users
            users.stop()


async def window(stage: Stage) -> tuple[Vitals, float]:
    """What the gateway takes, and its processor time in a second, over a while in which nothing new begins."""
    before = await stage.vitals()
    await asyncio.sleep(WINDOW_SECONDS)
    after = await stage.vitals()
    return after, (after.cpu - before.cpu) / WINDOW_SECONDS


async def main() -> None:
    async with open_users() as (stage, users):
        vitals, cpu = await window(stage)
        sys.stdout.write(f"{'for 1,000 people':<44}{'MiB':>8}{'CPU s/s':>10}\n")
        for what, work in (
            ("an open editor each", users.open_tabs),
            (f"{KEYSTROKES:g} keystroke a second in it", users.type_into_tabs),
            (f"{REQUESTS:g} requests a minute", users.ask),
            ("an open terminal over SSH", users.open_terminals),
            (f"{KEYSTROKES:g} keystroke a second in it", users.type_into_terminals),
        ):
            await work()
            last, spent = vitals, cpu
            vitals, cpu = await window(stage)
            memory = (vitals.resident - last.resident) / (1 << 20) * 1000 / USERS
            sys.stdout.write(f"{what:<44}{memory:>8.1f}{(cpu - spent) * 1000 / USERS:>10.3f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
