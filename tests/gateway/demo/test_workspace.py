"""The stand-in workspace: it says exactly what it received, and sends exactly what it promises."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.demo.workspace import WorkspaceServers, pattern


@pytest.fixture(name="servers")
async def _servers() -> AsyncIterator[WorkspaceServers]:
    async with WorkspaceServers("apple-bear-blue") as servers:
        yield servers


@pytest.fixture(name="client")
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        yield client


@pytest.fixture(name="site")
def _site(servers: WorkspaceServers) -> str:
    return f"http://127.0.0.1:{servers.site_port}"


@pytest.fixture(name="editor")
def _editor(servers: WorkspaceServers) -> str:
    return f"http://127.0.0.1:{servers.editor_port}"


async def exchange(port: int, request: bytes) -> bytes:
    """Everything the server says to exactly these bytes, until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


class TestLifetime:
    async def test_two_workspaces_stand_side_by_side(self, servers: WorkspaceServers) -> None:
        """Every port is a free one."""
        async with WorkspaceServers() as others:
            ports = {servers.editor_port, servers.site_port, others.editor_port, others.site_port}

        assert len(ports) == 4

    async def test_ports_are_closed_at_the_end(self) -> None:
        """Nothing listens any more, and nobody is told a port that is gone."""
        async with WorkspaceServers() as servers:
            port = servers.site_port

        with pytest.raises(RuntimeError, match="not running"):
            _ = servers.site_port
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pass

    async def test_open_streams_do_not_hold_up_the_end(self, client: aiohttp.ClientSession) -> None:
        """An endless event stream and a WebSocket are cut when the workspace ends."""
        async with asyncio.timeout(5), WorkspaceServers() as servers:
            events = await client.get(f"http://127.0.0.1:{servers.site_port}/events?interval=3600")
            echo = await client.ws_connect(f"http://127.0.0.1:{servers.editor_port}/ws")
            await events.content.readuntil(b"\n\n")
        async with asyncio.timeout(5):
            end = await echo.receive()
        events.close()

        assert end.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE}


class TestEditor:
    async def test_shows_the_folder_it_was_opened_with(self, client: aiohttp.ClientSession, editor: str) -> None:
        """The query arrived, and is text in the page."""
        async with client.get(editor + "/?folder=/projects/%3Cb%3E") as answer:
            page = await answer.text()

        assert answer.content_type == "text/html"
        assert '<span id="folder">/projects/&lt;b&gt;</span>' in page
        assert "<h1>apple-bear-blue</h1>" in page
        assert "$" not in page

    async def test_echoes_text_and_bytes_of_any_size(self, client: aiohttp.ClientSession, editor: str) -> None:
        """What comes back is what was sent, beyond the usual limit of 4 MiB too."""
        large = b"".join(pattern(5_000_000))
        async with client.ws_connect(editor + "/ws", max_msg_size=0) as echo:
            await echo.send_str("grüße")
            await echo.send_bytes(large)

            assert await echo.receive_str() == "grüße"
            assert await echo.receive_bytes() == large

    @pytest.mark.parametrize(("offered", "chosen"), [((), None), (("demo.editor",), "demo.editor"), (("b", "a"), "b")])
    async def test_takes_the_first_subprotocol_offered(
        self, client: aiohttp.ClientSession, editor: str, offered: tuple[str, ...], chosen: str | None
    ) -> None:
        """And none when none is offered."""
        async with client.ws_connect(editor + "/ws", protocols=offered) as echo:
            assert echo.protocol == chosen

    async def test_refuses_a_plain_request_for_the_socket(self, client: aiohttp.ClientSession, editor: str) -> None:
        """It is not an endless wait."""
        async with client.get(editor + "/ws") as answer:
            assert answer.status == 400


class TestSite:
    async def test_index_names_every_path(self, client: aiohttp.ClientSession, site: str) -> None:
        """A person finds everything from the first page."""
        async with client.get(site + "/") as answer:
            page = await answer.text()

        for path in ("/download", "/upload", "/events", "/headers", "/redirect", "/status/", "/cookies/set"):
            assert path in page

    @pytest.mark.parametrize("size", [0, 1, 65521, 65522, 3_000_000])
    async def test_download_is_as_long_as_asked_and_matches_its_hash(
        self, client: aiohttp.ClientSession, site: str, size: int
    ) -> None:
        """Content-Length and X-SHA256 describe the bytes."""
        async with client.get(f"{site}/download?bytes={size}") as answer:
            body = await answer.read()

        assert answer.headers["Content-Length"] == str(size) == str(len(body))
        assert answer.headers["X-SHA256"] == hashlib.sha256(body).hexdigest()
        assert b"".join(pattern(size)) == body

    async def test_a_head_request_has_no_body(self, servers: WorkspaceServers) -> None:
        """The head is that of GET."""
        answer = await exchange(
            servers.site_port, b"HEAD /download?bytes=5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )

        assert b"content-length: 5\r\n" in answer.lower()
        assert answer.endswith(b"\r\n\r\n")

    @pytest.mark.parametrize("size", ["-1", "x", "inf", "nan"])
    async def test_a_size_that_is_none_is_refused(self, client: aiohttp.ClientSession, site: str, size: str) -> None:
        """400 and not a broken stream."""
        async with client.get(f"{site}/download?bytes={size}") as answer:
            assert answer.status == 400

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_upload_counts_and_hashes_without_a_limit(
        self, client: aiohttp.ClientSession, site: str, method: str
    ) -> None:
        """A chunked body beyond aiohttp's default limit of 1 MiB arrives whole."""

        async def pieces() -> AsyncIterator[bytes]:
            for piece in pattern(3_000_000):
                yield piece

        async with client.request(method, site + "/upload", data=pieces()) as answer:
            told = await answer.json()

        assert told == {"bytes": 3_000_000, "sha256": hashlib.sha256(b"".join(pattern(3_000_000))).hexdigest()}

    async def test_events_arrive_one_by_one(self, client: aiohttp.ClientSession, site: str) -> None:
        """The first is there although the second is an hour away."""
        async with asyncio.timeout(5), client.get(site + "/events?interval=3600") as answer:
            first = await answer.content.readuntil(b"\n\n")
            answer.close()

        assert answer.content_type == "text/event-stream"
        assert first == b"id: 1\ndata: tick 1\n\n"

    async def test_events_end_after_the_count(self, client: aiohttp.ClientSession, site: str) -> None:
        """Three ticks and the end of the stream."""
        async with client.get(site + "/events?count=3&interval=0") as answer:
            body = await answer.text()

        assert body == "id: 1\ndata: tick 1\n\nid: 2\ndata: tick 2\n\nid: 3\ndata: tick 3\n\n"

    async def test_headers_are_told_as_they_came(self, servers: WorkspaceServers) -> None:
        """Order, spelling, repetition and bytes beyond ASCII are kept."""
        answer = await exchange(
            servers.site_port,
            b"GET /headers HTTP/1.1\r\nHost: a\r\nX-b: 2\r\nx-A: 1\r\nX-B: \xe9\r\nConnection: close\r\n\r\n",
        )
        told = json.loads(answer.partition(b"\r\n\r\n")[2])

        assert told == [["Host", "a"], ["X-b", "2"], ["x-A", "1"], ["X-B", "é"], ["Connection", "close"]]

    @pytest.mark.parametrize("code", [200, 204, 304, 404, 418, 503])
    async def test_answers_any_status(self, client: aiohttp.ClientSession, site: str, code: int) -> None:
        """Those without a body have none."""
        async with client.get(f"{site}/status/{code}") as answer:
            body = await answer.read()

        assert answer.status == code
        assert bool(body) is (code not in {204, 304})

    async def test_redirects_where_it_is_told_to(self, client: aiohttp.ClientSession, site: str) -> None:
        """The Location is not touched."""
        async with client.get(site + "/redirect?to=/status/200", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "/status/200")

    async def test_sets_the_cookie_lines_it_is_told_to(self, client: aiohttp.ClientSession, site: str) -> None:
        """Each line arrives as it was given, and without one there is a harmless one."""
        async with client.get(site + "/cookies/set", params=[("line", "a=1; Domain=b.c"), ("line", "d=2")]) as told:
            assert told.headers.getall("Set-Cookie") == ["a=1; Domain=b.c", "d=2"]
        async with client.get(site + "/cookies/set") as default:
            assert default.headers.getall("Set-Cookie") == ["demo=1; Path=/"]
