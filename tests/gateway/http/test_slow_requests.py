"""What people see who look for slow requests at the door."""

from gateway.telemetry.slowest import PATH_MAX
from tests.eventually import eventually
from tests.gateway.http.conftest import OK, Stage, World, read_response, request


async def test_a_request_is_seen_while_it_hangs_and_when_it_has_ended(world: World, stage: Stage) -> None:
    """With its workspace, its port and its path."""
    _, outside = await stage.ask(request(target="/report"))
    (hanging,) = world.door.find_slow().open
    outside.write(OK)
    await read_response(stage.reader)
    slow = world.door.find_slow()

    assert slow.open == ()
    (ended,) = slow.ended
    assert (hanging.status, ended.status) == (0, 200)
    assert hanging.request_id == ended.request_id
    assert ended.seconds > hanging.seconds > 0
    for seen in (hanging, ended):
        assert (seen.method, seen.workspace, seen.port, seen.path) == ("GET", "apple", 3000, "/report")


async def test_those_under_way_for_longest_are_shown(world: World, stage: Stage) -> None:
    """The first to come is the first to be seen."""
    await stage.ask(request(target="/first"))
    reader, writer = await world.connect()
    writer.write(request(target="/second"))
    await eventually(lambda: len(world.door.find_slow().open) == 2)

    assert [seen.path for seen in world.door.find_slow().open] == ["/first", "/second"]
    writer.close()
    assert not reader.at_eof()


async def test_neither_a_query_nor_a_cookie_is_seen(world: World, stage: Stage) -> None:
    """Nor more of a path than it takes to recognise it, nor who asked."""
    _, outside = await stage.ask(request("Cookie: a=hush", target="/" + "x" * 1000 + "?token=hush"))
    outside.write(OK)
    await read_response(stage.reader)
    slow = world.door.find_slow()

    assert slow.ended[0].path == "/" + "x" * (PATH_MAX - 1)
    assert "hush" not in repr(slow)
    assert "127.0.0.1" not in repr(slow)


async def test_what_the_gateway_answers_itself_is_seen_as_its_own(world: World) -> None:
    """With the code that its page has too."""
    await world.ask(host="unknown.example")
    (ended,) = world.door.find_slow().ended

    assert (ended.workspace, ended.port, ended.status, ended.code) == ("", 0, 404, "unknown_host")
