"""A workspace that forwards to where it was reached by ends in an answer, and not in ever more connections."""

import asyncio

import pytest

from gateway.http.headers import RequestHead, parse_request
from gateway.http.rounds import ROUNDS_MAX, Rounds
from tests.gateway.http.conftest import (
    HOST,
    PORTAL,
    Workspace,
    World,
    read_head,
    read_request,
    read_response,
    request,
)

OURS = f"CDN-Loop: {PORTAL}"


def head(*values: bytes) -> RequestHead:
    fields = [(b"Host", HOST.encode()), *((b"CDN-Loop", value) for value in values)]
    return parse_request(b"GET", b"/", "1.1", fields, keep_alive=True)


@pytest.mark.parametrize(
    ("values", "is_loop"),
    [
        ([], False),
        ([b"ws.example.dev"] * (ROUNDS_MAX - 1), False),
        ([b"ws.example.dev"] * ROUNDS_MAX, True),
        ([b"ws.example.dev, ws.example.dev", b"other.dev,WS.example.dev"], True),
        ([b'ws.example.dev; v="1", ws.example.dev ;a=b,ws.example.dev'], True),
        ([b"ws.example.dev.evil.dev"] * ROUNDS_MAX, False),
        ([b"other.dev"] * 100, False),
        ([b",,,"], False),
    ],
    ids=repr,
)
def test_marks_of_this_gateway_are_counted(values: list[bytes], *, is_loop: bool) -> None:
    """However they are spread over lines (RFC 8586, section 2); those of others are none of ours."""
    assert Rounds("WS.example.dev").is_loop(head(*values)) is is_loop


async def test_a_workspace_is_told_that_the_request_came_through_here(world: World) -> None:
    """After the marks that were there, which nobody takes out."""
    workspace = Workspace()
    await world.add(workspace)

    await world.ask("CDN-Loop: other.dev", "Connection: CDN-Loop")

    assert workspace.request.all(b"cdn-loop") == [b"other.dev", PORTAL.encode()]


@pytest.mark.parametrize(
    "lines",
    [(), ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")],
    ids=["request", "websocket"],
)
async def test_a_port_that_forwards_back_to_the_gateway_ends_the_loop(world: World, lines: tuple[str, ...]) -> None:
    """508 comes back through all rounds, and nothing of them stays open."""
    rounds = 0

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal rounds
        rounds += 1
        again, further = await world.connect()
        further.write(await read_head(reader))
        answer = await read_response(again)
        writer.write(answer.head + answer.body)

    await world.add(forward)

    got = await world.ask(*lines)

    assert (got.status, got.code, rounds) == (508, b"", ROUNDS_MAX)  # no mark of ours on it: a workspace said it last
    assert b"loop_detected" in got.body


async def test_a_request_that_was_here_before_is_no_loop_yet(world: World) -> None:
    """A server whose API is on another port, by its public address."""
    api = Workspace()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_request(reader)
        again, further = await world.connect()
        further.write(asked.head.replace(HOST.encode(), b"3000-pear.ws.example.dev"))
        answer = await read_response(again)
        writer.write(answer.head + answer.body)

    await world.add(forward)
    await world.add(api, name="pear")

    assert (await world.ask()).body == b"ok"
    assert len(api.request.all(b"cdn-loop")) == 2


async def test_a_client_that_claims_a_loop_gets_its_answer_and_harms_nobody(world: World) -> None:
    """The mark is believed from anybody, because it only ends the request it stands in."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request(*[OURS] * ROUNDS_MAX) + request())

    assert (await read_response(reader)).code == b"loop_detected"
    assert (await read_response(reader)).body == b"ok"
    assert len(workspace.requests) == 1
