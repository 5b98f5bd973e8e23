"""The HTTP half of the load: pages, transfers, event streams and WebSockets, each checked byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from gateway.demo.world import EDITOR_PORT
from tests.soak.content import Checker, Corrupt, content, generate
from tests.soak.ledger import Ended, Kind, Lease
from tests.soak.person import PATIENCE, Person, chunks, receive
from tests.soak.stage import INTERNAL_PORT, OPEN_PORT, Stage, Workspace
from tests.soak.workspace import seed_of

TRANSFER = 10_000_000  # bytes at most
MESSAGE = 100_000
EVENT_SECONDS, MESSAGE_SECONDS = 0.5, 0.7


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody at a port of a workspace."""

    stage: Stage
    person: Person
    workspace: Workspace
    port: int

    def __str__(self) -> str:
        return f"{self.person.name or 'nobody'} at {host_of(self.url('/'))}"

    def url(self, target: str) -> str:
        return self.stage.address(self.workspace, self.port, target)

    def seed(self, name: str) -> str:
        return seed_of(host_of(self.url("/")), name)


GoesOn = Callable[[int], bool]
"""Whether one more is wanted after so many."""
Stream = Callable[[Place, Kind, GoesOn], Awaitable[None]]


class Visitors:
    """The people of the load, each with a browser that stays open and signed in."""

    def __init__(self, people: list[Person], stranger: Person) -> None:
        self._people = people
        self.stranger = stranger

    def named(self, name: str) -> Person:
        return next(person for person in self._people if person.name == name)

    def any(self, stage: Stage) -> Place:
        """Somebody at a port that they may use."""
        workspace = stage.any()
        port = stage.random.choice((EDITOR_PORT, OPEN_PORT, INTERNAL_PORT))
        person = self.named(workspace.owner) if port == EDITOR_PORT else stage.random.choice(self._people)
        return Place(stage, person, workspace, port)


def host_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


async def page(stage: Stage, visitors: Visitors) -> None:
    """A small answer on a kept connection."""
    with stage.ledger.record("page") as kind:
        await get(visitors.any(stage), stage.size(10_000), kind)


async def download(stage: Stage, visitors: Visitors) -> None:
    """With a length or chunked, read as fast as it comes or slower than it is sent."""
    with stage.ledger.record("download") as kind:
        await get(visitors.any(stage), stage.size(TRANSFER), kind, pause=stage.random.choice((0, 0, 0.02)))


async def upload(stage: Stage, visitors: Visitors) -> None:
    """With a length or chunked; the workspace says what came and whether it was right."""
    place, name, size = visitors.any(stage), stage.serial(), stage.size(TRANSFER)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in generate(place.seed(name), size):
            yield piece
            kind.sent += len(piece)
            await asyncio.sleep(0)  # others are sent to as well

    with stage.ledger.record("upload") as kind:
        headers = stage.random.choice(({}, {"Content-Length": str(size)}))
        url = place.url(f"/bytes?seed={name}")
        async with place.person.ask(url, method="POST", body=pieces(), headers=headers) as answer:
            told = json.loads(b"".join([piece async for piece in chunks(answer)]))
        if told["wrong"] or told["bytes"] != size:
            raise Corrupt(f"the workspace got {told} of {size} bytes")


async def program(stage: Stage, visitors: Visitors) -> None:
    """A program's request with a token, on a connection of its own."""
    workspace = stage.any()
    token = {"X-Workspaces-Token": workspace.token.get_secret_value(), "Connection": "close"}
    with stage.ledger.record("token") as kind:
        await get(Place(stage, visitors.stranger, workspace, EDITOR_PORT), 1000, kind, headers=token)


async def stranger(stage: Stage, visitors: Visitors) -> None:
    """Somebody whom the gateway does not know gets what is public, and nothing else."""
    workspace = stage.any()
    with stage.ledger.record("stranger") as kind:
        await get(Place(stage, visitors.stranger, workspace, OPEN_PORT), 1000, kind)
        async with visitors.stranger.ask(stage.address(workspace, EDITOR_PORT, "/bytes?seed=s&bytes=1")) as answer:
            if answer.status != 401:
                raise Corrupt(f"a stranger got {answer.status}")


async def get(
    place: Place, size: int, kind: Kind, *, pause: float = 0, headers: Mapping[str, str] | None = None
) -> None:
    """So many bytes of content, with so many seconds from one piece to the next."""
    name, chunked = place.stage.serial(), place.stage.random.choice(("", "&chunked"))
    checker = Checker(place.seed(name))
    async with place.person.ask(place.url(f"/bytes?seed={name}&bytes={size}{chunked}"), headers=headers) as answer:
        async for piece in chunks(answer):
            checker.feed(piece)
            kind.received += len(piece)
            if pause:
                await asyncio.sleep(pause)
    checker.end(size)


async def events(stage: Stage, visitors: Visitors) -> None:
    """An event stream that its reader leaves after a while."""
    count = stage.random.randint(1, 20)
    with stage.ledger.record("events") as kind:
        await follow_events(visitors.any(stage), kind, lambda number: number < count)


async def follow_events(place: Place, kind: Kind, goes_on: GoesOn) -> None:
    """Read events, each checked, for as long as more are wanted."""
    name, number, rest = place.stage.serial(), 0, b""
    url = place.url(f"/events?seed={name}&count=1000000&interval={EVENT_SECONDS}")
    async with place.person.ask(url, headers={"Accept": "text/event-stream"}) as answer:
        async for piece in chunks(answer):
            *whole, rest = (rest + piece).split(b"\n\n")
            for event in whole:
                told = content(f"{place.seed(name)}/{number}", 64).hex()
                if event != f"id: {number}\ndata: {told}".encode():
                    raise Corrupt(f"event {number} of {name} is wrong")
                number += 1
            kind.received += len(piece)
            if not goes_on(number):
                answer.close()
                return
    raise Ended(f"after {number} events")


async def websocket(stage: Stage, visitors: Visitors) -> None:
    """A WebSocket of some messages, each of which comes back."""
    count = stage.random.randint(1, 12)
    with stage.ledger.record("websocket") as kind:
        await talk(visitors.any(stage), kind, lambda number: number < count)


async def talk(place: Place, kind: Kind, goes_on: GoesOn) -> None:
    """Send messages and get them back, for as long as more are wanted."""
    stage, name, number = place.stage, place.stage.serial(), 0
    async with place.person.browser.open_socket(place.url("/ws")) as socket:
        while goes_on(number):
            message = content(f"{name}/{number}", stage.size(MESSAGE))
            async with asyncio.timeout(PATIENCE):
                await socket.send_bytes(message)
            kind.sent += len(message)
            got = await receive(socket)
            kind.received += len(got)
            if got != message:
                raise Corrupt(f"message {number} of {name} came back wrong")
            number += 1
            await asyncio.sleep(stage.random.expovariate(1 / MESSAGE_SECONDS))


async def stay(place: Place, lease: Lease) -> None:
    """Hold a WebSocket and an event stream open until the lease is lost or the load ends, as an open editor does."""

    async def hold(name: str, work: Stream) -> None:
        with place.stage.ledger.record(name, lease, where=str(place)) as kind:
            async with lease.limit():
                await work(place, kind, lambda _: not place.stage.ending.is_set())

    async with asyncio.TaskGroup() as group:
        group.create_task(hold("held websocket", talk))
        group.create_task(hold("held events", follow_events))
