"""What a person does over HTTP is told from what comes by itself: one kind of traffic each, through a real door."""

import asyncio

import pytest

from config.settings import IdleSettings
from gateway.http.websocket import accept_key
from gateway.idle.ledger import Use
from gateway.idle.pulse import ANSWER_SECONDS
from tests.eventually import eventually
from tests.gateway.http.conftest import OK, Scene, Workspace, World, read_head, read_response, request

NUMBER = "1"
"""GitLab's, of the first workspace that a world gets."""
TYPED = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1")
SCRIPT = ("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13")
ASK = request(*UPGRADE)
ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + accept_key(KEY.encode())
    + b"\r\n\r\n"
)
Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def use_of(world: World) -> Use | None:
    """The last use of the workspace."""
    last = world.ledger.get(NUMBER)
    return last.use if last else None


async def ask(world: World, *lines: str, method: str = "GET", grant: bool = True) -> int:
    """One request to a public port, of Ada who signed in, or of nobody who is known; its status."""
    await world.add(Workspace(OK))
    known = (await world.grant(),) if grant else ()
    return (await world.ask(*lines, *known, method=method)).status


@pytest.mark.parametrize(
    ("lines", "method", "grant"),
    [
        (TYPED, "GET", True),
        (("Accept: text/html",), "GET", True),
        (SCRIPT, "POST", True),
        (SCRIPT, "DELETE", True),
        ((), "PUT", True),
        (SCRIPT, "POST", False),
    ],
    ids=[
        "a page that somebody opens",
        "the same in a browser without Fetch Metadata",
        "a form or a script that changes something",
        "one that removes something",
        "a program of somebody who is known",
        "a stranger's browser on a public port",
    ],
)
async def test_a_request_of_a_person_is_use(
    world: World,
    lines: tuple[str, ...],
    method: str,
    grant: bool,  # noqa: FBT001 - of the table above
) -> None:
    await ask(world, *lines, method=method, grant=grant)

    assert use_of(world) is Use.REQUEST


@pytest.mark.parametrize(
    ("lines", "method", "grant"),
    [
        (SCRIPT, "GET", True),
        (("User-Agent: kube-probe/1.33", "Accept: */*"), "GET", False),
        (("User-Agent: Prometheus/3.7", "Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), "GET", True),
        (("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), "GET", True),
        ((*TYPED, "Sec-Purpose: prefetch"), "GET", True),
        (("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-User: ?1"), "GET", True),
        (("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), "GET", True),
        (TYPED, "HEAD", True),
        (("Accept: text/html", "User-Agent: a crawler"), "GET", False),
        (("User-Agent: somebody who looks for holes",), "POST", False),
    ],
    ids=[
        "polling",
        "a probe",
        "a metrics scrape",
        "a page that reloads itself",
        "a page that is fetched in case somebody wants it",
        "a frame",
        "an image",
        "a look at the headers",
        "a crawler on a public port",
        "a scanner on a public port",
    ],
)
async def test_what_comes_by_itself_is_no_use(
    world: World,
    lines: tuple[str, ...],
    method: str,
    grant: bool,  # noqa: FBT001 - of the table above
) -> None:
    status = await ask(world, *lines, method=method, grant=grant)

    assert (status, use_of(world)) == (200, None)


async def test_a_download_that_only_runs_on_is_no_use(world: World) -> None:
    """What counts of it is that somebody began it, if a person did."""
    scene = Scene()
    await world.add(scene)
    reader, writer = await world.connect()
    writer.write(request(*SCRIPT, await world.grant()))
    inside, outside = await scene.accept()
    await read_head(inside)
    outside.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
    assert len((await read_response(reader)).body) == 1_000_000
    world.clock.now += 60
    world.uses.look()

    assert use_of(world) is None


async def test_a_request_that_is_refused_is_no_use(world: World) -> None:
    """Nobody holds up a workspace that is not theirs."""
    await world.add(Workspace(OK), visibility="private")
    seen = await world.ask(*SCRIPT, method="POST")

    assert (seen.status, use_of(world)) == (401, None)


async def open_tunnel(world: World) -> tuple[Side, Side]:
    """Both ends of a WebSocket that has said hello."""
    scene = Scene()
    await world.add(scene)
    client = await world.connect()
    client[1].write(ASK)
    workspace = await scene.accept()
    await read_head(workspace[0])
    workspace[1].write(ACCEPT)
    assert (await read_response(client[0])).status == 101
    world.clock.now += 60
    world.uses.look()
    return client, workspace


@pytest.mark.parametrize(
    ("frame", "use"),
    [
        (b"\x89\xfd" + bytes(4 + 125), None),
        (b"\x8a\xfd" + bytes(4 + 125), None),
        (b"\x89\x80" + bytes(4), None),
        (b"\x81\xfd" + bytes(4 + 125), Use.WEBSOCKET),
        (b"\x82\xfd" + bytes(4 + 125), Use.WEBSOCKET),
    ],
    ids=["ping", "pong", "empty ping", "text", "binary"],
)
async def test_pings_and_pongs_are_no_use_and_other_frames_are(world: World, frame: bytes, use: Use | None) -> None:
    """Twenty of the same size in a minute; only what they are makes the difference."""
    (_, writer), (inside, _) = await open_tunnel(world)
    for _ in range(20):
        writer.write(frame)
        assert await inside.readexactly(len(frame)) == frame
    world.clock.now += 60
    world.uses.look()

    assert use_of(world) is use


async def test_output_of_a_websocket_is_no_use(world: World) -> None:
    (reader, _), (_, outside) = await open_tunnel(world)
    outside.write(bytes(100_000))
    await reader.readexactly(100_000)
    world.clock.now += 60
    world.uses.look()

    assert use_of(world) is None


async def test_a_websocket_that_ended_is_not_looked_at_any_more(world: World) -> None:
    (_, writer), (_, outside) = await open_tunnel(world)
    writer.close()
    outside.close()
    await eventually(lambda: world.metric("http_tunnels") == 0)

    assert repr(world.uses) == "<Uses streams=0>"


async def test_a_strangers_websocket_hides_nobodys_keys(world: World) -> None:
    """Whoever can make a public port speak, all the time but for moments, could have a workspace stopped under the
    hands of its owner, whose every key would be taken for an answer."""
    scene = Scene()
    await world.add(scene)
    _, writer, inside, _ = await join(world, scene, await world.grant())
    heckler, _, _, outside = await join(world, scene)
    world.clock.now += 60
    world.uses.look()
    for _ in range(100):
        world.clock.now += ANSWER_SECONDS * 1.1
        outside.write(b"\x82\x00")
        assert await heckler.readexactly(2) == b"\x82\x00"
        writer.write(TYPED_FRAME)
        assert await inside.readexactly(len(TYPED_FRAME)) == TYPED_FRAME
    world.uses.look()

    assert use_of(world) is Use.WEBSOCKET


async def test_what_a_persons_page_answers_on_another_websocket_is_no_use(world: World) -> None:
    """An editor hears of output on one and tells of it on another; both are of one person."""
    scene = Scene()
    await world.add(scene)
    _, writer, inside, _ = await join(world, scene, await world.grant())
    reader, _, _, outside = await join(world, scene, await world.grant())
    world.clock.now += 60
    world.uses.look()
    for _ in range(100):
        world.clock.now += ANSWER_SECONDS * 2
        outside.write(b"\x82\x00")
        assert await reader.readexactly(2) == b"\x82\x00"
        writer.write(TYPED_FRAME)
        assert await inside.readexactly(len(TYPED_FRAME)) == TYPED_FRAME
    world.uses.look()

    assert use_of(world) is None


TYPED_FRAME = b"\x81\xfd" + bytes(4 + 125)


async def join(
    world: World, scene: Scene, *lines: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamWriter]:
    """One more WebSocket to the same workspace: the client's streams, then the workspace's."""
    reader, writer = await world.connect()
    writer.write(request(*UPGRADE, *lines))
    inside, outside = await scene.accept()
    await read_head(inside)
    outside.write(ACCEPT)
    assert (await read_response(reader)).status == 101
    return reader, writer, inside, outside


@pytest.mark.parametrize(
    ("lines", "use"),
    [((), None), (("Accept: text/html", "User-Agent: a crawler"), None), (SCRIPT, Use.REQUEST)],
    ids=["a scanner", "a crawler", "a browser"],
)
async def test_a_flood_of_requests_tells_a_person_only_where_a_browser_sends_it(
    world: World, lines: tuple[str, ...], use: Use | None
) -> None:
    """Or whoever looks for holes on a public port would keep somebody's workspace running."""
    await world.add(Workspace(OK))
    for _ in range(2 * IdleSettings().polls_per_minute):
        assert (await world.ask(*lines)).status == 200
    world.clock.now += 60
    world.uses.look()

    assert use_of(world) is use
