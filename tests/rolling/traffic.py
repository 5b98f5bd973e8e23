"""People and programs before a load balancer, who ask without a pause and write down whatever went wrong."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from gateway.demo.terminal import Login, run_over_ssh
from gateway.demo.world import LOOPBACK, Ports
from gateway.ssh.server import RESTARTING

HOST = "3000-apple-bear-blue.workspaces.localhost"
DOWNLOAD = 20_000
_PIECE = bytes(range(256)) * 256
_PIECES = 15  # a tenth of a second apart: an upload is under way whenever a gateway goes


@dataclass
class Account:
    """What was done, and what was lost."""

    done: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    closed: Counter[int | None] = field(default_factory=Counter)
    """WebSockets, by the code they were closed with."""
    parted: int = 0
    """SSH connections that were told to come again."""


class Traffic:
    """All of them, until they are told to stop."""

    def __init__(self, front: Ports, workspace: str, token: SecretStr, bell: Path) -> None:
        """Jobs in the workspace end when there is a file `bell`."""
        self.account = Account()
        self._front = front
        self._workspace = workspace
        self._token = token
        self._bell = bell
        self._is_over = False

    def stop(self) -> None:
        """Begin nothing new; what is under way ends."""
        self._is_over = True
        self._bell.touch()

    async def run(self, *, readers: int, uploaders: int, sockets: int, terminals: int) -> None:
        """So many of each."""
        async with asyncio.TaskGroup() as group:
            for _ in range(readers):
                group.create_task(self._read())
            for _ in range(uploaders):
                group.create_task(self._upload())
            for _ in range(sockets):
                group.create_task(self._talk())
            for _ in range(terminals):
                group.create_task(self._work())

    def _url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self._front.http}{path}"

    def _client(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Host": HOST}, cookie_jar=aiohttp.DummyCookieJar())

    async def _read(self) -> None:
        async with self._client() as client:
            while not self._is_over:
                try:
                    async with client.get(self._url(f"/download?bytes={DOWNLOAD}")) as response:
                        body = await response.read()
                    self._note("read", response.status == 200 and len(body) == DOWNLOAD, response.status)
                except aiohttp.ClientError as exc:
                    self._note("read", False, repr(exc))  # noqa: FBT003 - it is what went wrong
                await asyncio.sleep(0.01)

    async def _upload(self) -> None:
        expected = hashlib.sha256(_PIECE * _PIECES).hexdigest()
        async with self._client() as client:
            while not self._is_over:
                try:
                    async with client.post(self._url("/upload"), data=_pieces()) as response:
                        told = await response.json() if response.status == 200 else {}
                    self._note("upload", told.get("sha256") == expected, response.status)
                except aiohttp.ClientError as exc:
                    self._note("upload", False, repr(exc))  # noqa: FBT003 - it is what went wrong

    async def _talk(self) -> None:
        """A page that connects again as soon as it is closed."""
        async with self._client() as client:
            while not self._is_over:
                try:
                    async with client.ws_connect(self._url("/ws")) as socket:
                        await self._echo(socket)
                except aiohttp.ClientError as exc:
                    self._note("socket", False, repr(exc))  # noqa: FBT003 - it is what went wrong

    async def _echo(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not self._is_over:
            with suppress(aiohttp.ClientConnectionResetError):  # closed as we were about to speak: `receive` has why
                await socket.send_str("hello")
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                # Not `close_code`: that is 1006 where there was no answering any more.
                self.account.closed[message.data if message.type is aiohttp.WSMsgType.CLOSE else None] += 1
                return
            self._note("socket", message.data == "hello", message.data)
            await asyncio.sleep(0.1)

    async def _work(self) -> None:
        """Somebody who waits for the end of a job, and connects again as soon as they are sent away."""
        login = Login(LOOPBACK, self._front.ssh, self._workspace, self._token)
        while not self._is_over:
            outcome = await run_over_ssh(login, f"until test -e {self._bell}; do sleep 0.1; done; echo done")
            if outcome.is_refused and f": {RESTARTING}" in outcome.stderr:
                self.account.parted += 1
            else:
                self._note("terminal", outcome.stdout == "done\n", str(outcome))

    def _note(self, what: str, is_well: bool, told: object) -> None:  # noqa: FBT001 - the verdict on one exchange
        if is_well:
            self.account.done[what] += 1
        else:
            self.account.lost.append(f"{what}: {told}")


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(_PIECES):
        yield _PIECE
        await asyncio.sleep(0.1)
