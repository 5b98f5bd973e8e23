"""WebSockets between two ends that know nothing of the gateway: everything RFC 6455 and RFC 7692 have arrives."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.eventually import eventually
from tests.gateway.http.conftest import HOST, World

MIB = 1 << 20


async def echo(peer: ServerConnection) -> None:
    async for message in peer:
        await peer.send(message)


@asynccontextmanager
async def joined(
    world: World,
    handler: Callable[[ServerConnection], Awaitable[None]] = echo,
    *,
    inside: dict[str, Any] | None = None,
    **outside: Any,
) -> AsyncIterator[ClientConnection]:
    """A client that is connected to this server through the gateway; `inside` and the rest are what each is set to."""
    async with serve(handler, "127.0.0.1", 0, max_size=None, ping_interval=None, **(inside or {})) as server:
        world.claim("apple", next(iter(server.sockets)).getsockname()[1])
        client = connect(
            f"ws://{HOST}/socket",
            host="127.0.0.1",
            port=world.door.port,
            max_size=None,
            ping_interval=None,
            proxy=None,
            **outside,
        )
        async with client as peer:
            yield peer


async def relayed(world: World) -> tuple[int, int]:
    """Bytes from and to the client, of the one tunnel that was open."""
    await eventually(lambda: "http.tunnel_closed" in world.log.getvalue())
    (line,) = [json.loads(line) for line in world.log.getvalue().splitlines() if "http.tunnel_closed" in line]
    return line["received"], line["sent"]


async def test_compression_is_agreed_on_by_the_two_ends(world: World) -> None:
    """permessage-deflate, with the parameters that either asked for."""
    async with joined(world) as peer:
        (extension,) = peer.protocol.extensions
        await peer.send("a" * 1000)

        assert extension.name == "permessage-deflate"
        assert await peer.recv() == "a" * 1000


async def test_without_compression_there_is_none(world: World) -> None:
    """The gateway adds none where an end does not offer it."""
    async with joined(world, compression=None) as peer:
        await peer.send("a")

        assert await peer.recv() == "a"
        assert not peer.protocol.extensions


async def test_a_deflate_bomb_is_not_inflated(world: World) -> None:
    """100 MiB of nothing pass as the hundred kilobytes that they are on the wire."""
    size = 100 * MIB
    async with joined(world) as peer:
        await peer.send(bytes(size))
        assert await peer.recv() == bytes(size)
    received, sent = await relayed(world)

    assert received < size // 500
    assert sent < size // 500


async def test_a_message_of_50_mib_arrives(world: World) -> None:
    """There is no limit on a message, whatever it holds."""
    message = os.urandom(MIB) * 50
    async with joined(world, compression=None) as peer:
        await peer.send(message)

        assert await peer.recv() == message


async def test_fragments_of_one_byte_stay_fragments(world: World) -> None:
    """None is joined with another, though all of them are there at once."""
    fragments: list[str] = []

    async def collect(peer: ServerConnection) -> None:
        fragments.extend([str(fragment) async for fragment in peer.recv_streaming()])
        await peer.send("".join(fragments))

    text = "drei Ü" * 50
    async with joined(world, collect, compression=None) as peer:
        await peer.send(iter(text))

        assert await peer.recv() == text
    assert fragments == [*text, ""]


async def test_text_stays_text_and_bytes_stay_bytes(world: World) -> None:
    """The opcode of a frame is none of our business."""
    async with joined(world) as peer:
        for message in ("text", b"bytes", "", b""):
            await peer.send(message)
            assert await peer.recv() == message


async def test_a_ping_is_answered_by_the_other_end(world: World) -> None:
    """In both directions, also between the fragments of a message."""
    seen: list[float] = []

    async def ping_back(peer: ServerConnection) -> None:
        await peer.recv()
        seen.append(await (await peer.ping(b"from inside")))
        await peer.send("done")

    async with joined(world, ping_back) as peer:
        await (await peer.ping(b"from outside"))

        async def cut() -> AsyncIterator[str]:
            yield "one"
            await (await peer.ping(b"in between"))
            yield "two"

        await peer.send(cut())
        assert await peer.recv() == "done"
    assert len(seen) == 1


@pytest.mark.parametrize("first", ["client", "workspace"])
async def test_a_close_keeps_its_code_and_reason(world: World, first: str) -> None:
    """4000 belongs to the application (RFC 6455, section 7.4.2); afterwards nothing is open."""
    heard: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()

    async def part(peer: ServerConnection) -> None:
        if first == "workspace":
            await peer.close(4000, "das wär's")
        else:
            await peer.wait_closed()
            heard.set_result((peer.close_code, peer.close_reason))

    async with joined(world, part) as peer:
        if first == "client":
            await peer.close(4000, "das wär's")
            told = await heard
        else:
            with pytest.raises(ConnectionClosed):
                await peer.recv()
            told = (peer.close_code, peer.close_reason)

    assert told == (4000, "das wär's")
    await eventually(lambda: world.metric("http_tunnels") == 0)


@pytest.mark.parametrize(
    ("offered", "known", "chosen"),
    [
        (["vscode", "chat"], ["chat"], "chat"),
        (["vscode", "chat"], ["chat", "vscode"], "chat"),
        (["vscode"], None, None),
        (None, None, None),
    ],
)
async def test_a_subprotocol_is_chosen_by_the_workspace(
    world: World, offered: list[str] | None, known: list[str] | None, chosen: str | None
) -> None:
    """From all that was offered, in its order; where it chooses none there is none."""
    protocols = [Subprotocol(name) for name in offered] if offered else None
    inside = {"subprotocols": [Subprotocol(name) for name in known]} if known else {}
    asked: list[list[str]] = []

    async def note(peer: ServerConnection) -> None:
        assert peer.request is not None
        asked.append(peer.request.headers.get_all("Sec-WebSocket-Protocol"))

    async with joined(world, note, inside=inside, subprotocols=protocols) as peer:
        await peer.wait_closed()

        assert peer.subprotocol == chosen
    assert asked == [[", ".join(offered)] if offered else []]
