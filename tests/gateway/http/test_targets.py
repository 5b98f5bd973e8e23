"""Which host a request is for, and that its path and query arrive as they were sent."""

import asyncio

import pytest

from tests.gateway.http.conftest import HOST, Workspace, World, read_response, request


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb", "/a//b", "//", "/a%25b", "/?x=%20+", "/;v=1", "/%C3%A9", "/a/../b", "/%2e%2e/", "/..;/", "/a\\b",
        "/%5c", "/./", "/%00", "/%", "/%zz", "/a?b?c=d&&e=", "/?", '/"<>^`{|}', "/%c0%ae", "/~a!$&'()*+,;=:@",
        "/é?ü=ö", "/\u3042", "/metrics", "/healthz", "/auth/callback", "/oauth2/x", "/.workspaces-gatewayx/enter",
        "/%2eworkspaces-gateway/enter", "//.workspaces-gateway/enter", "/./.workspaces-gateway/enter",
    ],
)  # fmt: skip
async def test_target_arrives_byte_identical(world: World, target: str) -> None:
    """A path and a query keep every byte, and all but the one reserved prefix belong to the app."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(request("Connection: close", target=target))

    assert workspace.request.target == target.encode()


@pytest.mark.parametrize("raw", [b"/\xff\xfe", b"/?q=\x80", b"/\xc3"])
async def test_target_of_raw_bytes_arrives(world: World, raw: bytes) -> None:
    """Bytes that are no UTF-8 are no business of ours."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(b"GET " + raw + b" HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n\r\n")

    assert workspace.request.target == raw


@pytest.mark.parametrize("step", [1, 7, 16])
async def test_target_may_come_in_pieces(world: World, step: int) -> None:
    """A request line beyond ASCII is understood wherever a read cuts it."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()
    raw = request(target="/é/ü?ö=ä")

    for start in range(0, len(raw), step):
        writer.write(raw[start : start + step])
        await asyncio.sleep(0)  # a write of its own, and with TCP_NODELAY a segment of its own

    assert (await read_response(reader)).body == b"ok"
    assert workspace.request.target == "/é/ü?ö=ä".encode()


async def test_target_after_a_body_is_its_own(world: World) -> None:
    """A mask that one request needed is not applied to the next one, nor to its body."""
    workspace = Workspace()
    await world.add(workspace)
    reader, writer = await world.connect()

    writer.write(request("Content-Length: 2", method="POST", target="/é", body="é".encode()))
    await read_response(reader)
    writer.write(request(target="/~"))
    await read_response(reader)

    assert [(one.target, one.body) for one in workspace.requests] == [("/é".encode(), "é".encode()), (b"/~", b"")]


async def test_target_of_a_pipelined_request_is_its_own(world: World) -> None:
    """One that came in the same read as a target beyond ASCII is not looked for in that one's line."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(request(target="/éa~a") + request(target="/b") + request("Connection: close", target="/~~a"))

    assert [one.target for one in workspace.requests] == ["/éa~a".encode(), b"/b", b"/~~a"]


@pytest.mark.parametrize("target", ["/a\x7f", "/a\tb", "/a b", "/a\x00b", "/a\x0bb", "/a#b"])
async def test_target_with_a_control_character_is_refused(world: World, target: str) -> None:
    """What could be taken for a boundary is not passed on."""
    workspace = Workspace()
    await world.add(workspace)

    assert (await world.exchange(request(target=target))).startswith(b"HTTP/1.1 400 ")
    assert not workspace.requests


@pytest.mark.parametrize(
    "host",
    ["3000-APPLE.WS.Example.dev", "3000-apple.ws.example.dev.", f"{HOST}:443", f"{HOST}:0443", f"{HOST}:9876"],
)
async def test_host_is_read_as_dns_reads_it(world: World, host: str) -> None:
    """Case, a trailing dot and a port make no other host, and the app sees what the client sent."""
    workspace = Workspace()
    await world.add(workspace)

    assert (await world.exchange(request("Connection: close", host=host))).endswith(b"\r\n\r\nok")
    assert workspace.request.one(b"host") == host.encode()
    assert workspace.request.one(b"x-forwarded-host") == host.encode()


@pytest.mark.parametrize(
    "host",
    [
        "", " ", "a b", "a\tb", f"{HOST}..", f"{HOST}:99999", f"{HOST}:x", f"{HOST}:", f"user@{HOST}", f"{HOST}/",
        "_a.ws.example.dev", "3000%2dapple.ws.example.dev", f"{HOST},{HOST}", "[::1", "a" * 64 + ".dev",
        "a." * 127 + "dev", "-a.dev", "é.ws.example.dev", f"{HOST}\\0.evil", f"{HOST}\0.evil", f"{HOST}\x0b",
        "3000-apple。ws.example.dev",
    ],
)  # fmt: skip
async def test_host_that_is_no_name_is_refused(world: World, host: str) -> None:
    """400 and the end of the connection."""
    await world.add(Workspace())

    answer = await world.exchange(request(host=host))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in answer


async def test_name_below_a_workspace_is_nobody_s(world: World) -> None:
    """It lies in no zone, and no workspace hears of it."""
    workspace = Workspace()
    await world.add(workspace)

    assert (await world.ask(host=f"a.{HOST}")).code == b"unknown_host"
    assert not workspace.requests


@pytest.mark.parametrize("host", [f"{HOST}.evil.dev", "127.0.0.1", "[::1]", "localhost", "xn--9ca.evil.dev"])
async def test_host_of_nobody_is_unknown(world: World, host: str) -> None:
    """A name that merely contains a workspace's name, or an address, leads to no workspace."""
    workspace = Workspace()
    await world.add(workspace)

    assert (await world.exchange(request("Connection: close", host=host))).startswith(b"HTTP/1.1 404 ")
    assert not workspace.requests


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: {HOST}\r\nhost: evil.dev\r\n\r\n".encode(),
        f"GET http://8080-pear.ws.example.dev/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        f"GET http://{HOST}:80@evil.dev/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        f"GET * HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
        f"GET {HOST}:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode(),
    ],
)
async def test_request_without_one_host_is_refused(world: World, raw: bytes) -> None:
    """No Host, two of them, or a target that contradicts it, reach no workspace."""
    workspace = Workspace()
    await world.add(workspace)

    assert (await world.exchange(raw)).startswith(b"HTTP/1.1 400 ")
    assert not workspace.requests


async def test_absolute_form_of_the_same_host_becomes_origin_form(world: World) -> None:
    """A client that takes us for a forward proxy is understood."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(request("Connection: close", target=f"http://{HOST}/a?b"))

    assert workspace.request.start == b"GET /a?b HTTP/1.1"


async def test_options_of_the_whole_server_pass(world: World) -> None:
    """`OPTIONS *` is a request like any other."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(request("Connection: close", method="OPTIONS", target="*"))

    assert workspace.request.start == b"OPTIONS * HTTP/1.1"


SPOOFED = [
    b"X-Forwarded-For: 6.6.6.6",
    b"X-FORWARDED-FOR: 6.6.6.6",
    b"X_Forwarded_For: 6.6.6.6",
    b"X.Forwarded.For: 6.6.6.6",
    b"X-Forwarded-Proto: gopher",
    b"X-Forwarded-Host: 8080-pear.ws.example.dev",
    b"X-Forwarded_Host: 8080-pear.ws.example.dev",
    b"X-Forwarded-Port: 6",
    b"Forwarded: for=6.6.6.6;host=8080-pear.ws.example.dev",
    b"X-Request-Id: mine",
    b"X-Workspaces-User: id=1",
    b"X_Workspaces_User: id=1",
    b"x-workspaces-user: id=2",
    b"X-Workspaces-Token: secret",
]


async def test_spoofed_identity_is_replaced(world: World) -> None:
    """Whatever a client says in our name, in any spelling, the app sees exactly one of each, ours (or none)."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(request("Connection: close", *SPOOFED))

    names = [name.lower().translate(bytes.maketrans(b"_.", b"--")) for name, _ in workspace.request.fields]
    assert len(names) == len(set(names))
    assert workspace.request.one(b"x-forwarded-for") == b"127.0.0.1"
    assert workspace.request.one(b"x-forwarded-proto") == b"https"
    assert workspace.request.one(b"x-forwarded-host") == HOST.encode()
    assert workspace.request.one(b"x-forwarded-port") == b"443"
    assert workspace.request.one(b"x-request-id") != b"mine"
    assert not {b"forwarded", b"x-workspaces-user", b"x-workspaces-token"} & set(names)


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-Host: 3000-pear.ws.example.dev",
        "Forwarded: host=3000-pear.ws.example.dev",
        "X-Original-Host: 3000-pear.ws.example.dev",
        "X-Host: 3000-pear.ws.example.dev",
        "X-Original-URL: http://3000-pear.ws.example.dev/",
        "X-Rewrite-URL: /.workspaces-gateway/enter",
        "X-Forwarded-Uri: http://3000-pear.ws.example.dev/",
    ],
)
async def test_only_host_decides_where_a_request_goes(world: World, line: str) -> None:
    """No other field names a host that is believed."""
    apple, pear = Workspace(), Workspace()
    await world.add(apple)
    await world.add(pear, name="pear")

    await world.exchange(request("Connection: close", line))

    assert (len(apple.requests), len(pear.requests)) == (1, 0)


async def test_connection_removes_none_of_our_lines(world: World) -> None:
    """`Connection:` naming what others rely on does not remove it."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(
        request(
            "Connection: close, X-Forwarded-For, X-Request-Id, Cookie, Host, Content-Length, Transfer-Encoding",
            "Cookie: a=1",
            "Content-Length: 2",
            method="POST",
            body=b"hi",
        )
    )

    got = workspace.request
    assert (got.one(b"host"), got.one(b"cookie"), got.one(b"content-length")) == (HOST.encode(), b"a=1", b"2")
    assert got.one(b"x-forwarded-for") == b"127.0.0.1"
    assert got.body == b"hi"


async def test_method_override_changes_nothing(world: World) -> None:
    """The method that arrives is the one of the request line."""
    workspace = Workspace()
    await world.add(workspace)

    await world.exchange(request("Connection: close", "X-HTTP-Method-Override: DELETE", "X-Forwarded-Method: DELETE"))

    assert workspace.request.start.startswith(b"GET ")
    assert workspace.request.one(b"x-http-method-override") == b"DELETE"


async def test_own_cookie_never_arrives(world: World) -> None:
    """Not in a request, not by TRACE, not in an upgrade; the app's own cookies do."""
    workspace = Workspace()
    await world.add(workspace)
    cookie = "Cookie: a=1; __Host-workspaces-grant=x"

    await world.exchange(request("Connection: close", cookie))
    await world.exchange(request("Connection: close", cookie, method="TRACE"))
    await world.exchange(
        request("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Connection: close", cookie)
    )

    assert [one.one(b"cookie") for one in workspace.requests] == [b"a=1"] * 3
