"""The check: every step passes where a promise is kept, and exactly the right one fails where it is not."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote

import asyncssh
import pytest
from aiohttp import WSMsgType, web
from pydantic import SecretStr

from gateway.demo.check import DemoUser, Step, World, report, run_check
from gateway.demo.promises import _COUNTERS, PROMISES
from gateway.demo.workspace import pattern
from gateway.demo.workspace_pages import editor_page

OWNERS = {"apple": "ada", "berry": "grace", "cherry": "ada"}
TOKENS = {"ada": "glpat-ada-secret", "grace": "glpat-grace-secret"}


def worlds(port: int, ssh_port: int) -> World:
    return World(
        portal_url=f"http://portal.localhost:{port}",
        admin_url=f"http://127.0.0.1:{port}",
        ssh_host="127.0.0.1",
        ssh_port=ssh_port,
        connect_address=("127.0.0.1", port),
        users=tuple(DemoUser(name, SecretStr(token)) for name, token in TOKENS.items()),
        running="apple",
        others="berry",
        stopped="cherry",
        host_template="{port}-{name}.workspaces.localhost:" + str(port),
    )


class Pretender:
    """Keeps every promise by pretending, but for the one that `fault` names. GitLab, portal and workspaces in one."""

    def __init__(self, fault: str = "") -> None:
        self._fault = fault
        self._requests = 0

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[World]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        key = asyncssh.generate_private_key("ssh-ed25519")
        ssh = await asyncssh.create_server(
            lambda: _PretenderSSH(self._fault), "127.0.0.1", 0, server_host_keys=[key], process_factory=self._run
        )
        async with ssh:
            yield worlds(runner.addresses[0][1], ssh.sockets[0].getsockname()[1])
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._requests += 1
        name = request.host.partition(":")[0].partition(".")[0]
        match name, request.path:
            case "127", path:
                return self._admin(path)
            case "portal", "/auth/start":
                return self._start(request)
            case "portal", "/auth/callback":
                answer = _redirect(f"/auth/start?to={quote(request.query['to'], safe='')}")
                answer.set_cookie("session", request.query["user"])
                return answer
            case "gitlab", _:
                return await self._authorize(request)
            case _, "/.workspaces-gateway/enter":
                to = request.query["to"]
                answer = _redirect(to.partition("&tab")[0] if self._fault == "query" else to)
                answer.set_cookie("grant", "yes")
                return answer
            case _:
                return await self._workspace(request, *name.split("-", 1))

    def _start(self, request: web.Request) -> web.Response:
        """The portal: who is it, and may they?"""
        to = request.query["to"]
        user = request.cookies.get("session")
        workspace = re.sub(r"^http://\d+-([a-z-]+)\..*", r"\1", to)
        if user is None:
            return _redirect(f"http://gitlab.localhost:{request.url.port}/oauth/authorize?to={quote(to, safe='')}")
        if OWNERS.get(workspace) != user:
            leak = workspace if self._fault == "leak" else ""
            text = f"No such workspace {leak}. Request {self._requests}"
            return web.Response(status=404, text=text, headers={"X-Request-Id": str(self._requests)})
        host = to.split("/")[2]
        return _redirect(f"http://{host}/.workspaces-gateway/enter?to={quote(to, safe='')}")

    async def _authorize(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            chosen = (await request.text()).removeprefix("user=")
            portal = f"http://portal.localhost:{request.url.port}"
            return _redirect(f"{portal}/auth/callback?user={chosen}&to={quote(request.query['to'], safe='')}")
        buttons = (f"<button name=user value={user}>{user}</button>" for user in TOKENS)
        return web.Response(text=f"<form method=post>{''.join(buttons)}</form>", content_type="text/html")

    async def _workspace(self, request: web.Request, port: str, name: str) -> web.StreamResponse:
        if port == "3000":
            body = b"".join(pattern(int(request.query["bytes"])))
            digest = "wrong" if self._fault == "public" else hashlib.sha256(body).hexdigest()
            return web.Response(body=body, headers={"X-SHA256": digest})
        if "grant" not in request.cookies:
            to = quote(f"http://{request.host}{request.raw_path}", safe="")
            status = 302 if self._fault == "redirect" else 303
            return _redirect(f"http://portal.localhost:{request.url.port}/auth/start?to={to}", status)
        if name == "cherry":
            return web.Response(status=503, text=_ASLEEP.get(self._fault, "It is stopped. <form>"))
        if request.path == "/ws":
            return await self._echo(request)
        is_wrong = self._fault == "editor" and request.headers["Sec-Fetch-Site"] == "none"
        return web.Response(text="other" if is_wrong else editor_page(name, request.query.get("folder", "")))

    async def _echo(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["demo.editor"])
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data[:-1] if self._fault == "socket" else message.data)
        return socket

    def _admin(self, path: str) -> web.Response:
        if path == "/readyz" and self._fault == "unready":
            return web.Response(status=503)
        value = 1 if self._fault == "counters" else self._requests
        lines = [f'# TYPE {name} counter\n{name}{{to="a"}} {value}\n' for name in _COUNTERS]
        return web.Response(text="".join(lines))

    async def _run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write("to-stdout\n")
        process.stderr.write("to-stderr\n")
        is_awake = process.get_extra_info("username") == "apple"
        process.exit(0 if self._fault == ("exit" if is_awake else "no start") else 7)


_ASLEEP = {"silence": "", "no button": "It is stopped."}
"""What the page of the stopped workspace says under a fault."""


class _PretenderSSH(asyncssh.SSHServer):
    def __init__(self, fault: str) -> None:
        self._fault = fault

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn

    def begin_auth(self, username: str) -> bool:
        if username == "cherry" and self._fault != "ssh silence":
            self._conn.send_auth_banner(f"workspace cherry is Stopped: starting it {TOKENS['ada']}\r\n")
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._fault == "anybody" or (username in ("apple", "cherry") and password == TOKENS["ada"])


def _redirect(to: str, status: int = 303) -> web.Response:
    return web.Response(status=status, headers={"Location": to})


async def test_every_step_passes_where_every_promise_is_kept() -> None:
    """In the order in which they are listed, each with what came."""
    async with Pretender().serve() as world:
        steps = await run_check(world)

    assert [step.name for step in steps if not step.ok] == [], report(steps, as_json=False)
    assert [step.name for step in steps] == [name for name, _ in PROMISES]
    assert all(step.detail for step in steps)


@pytest.mark.parametrize(
    ("fault", "step", "detail"),
    [
        ("redirect", 0, "expected 303 to http://portal.localhost"),
        ("query", 1, "expected 200 from http://60001-apple"),
        ("editor", 2, "expected the demo editor"),
        ("socket", 3, "expected an echo of text and bytes"),
        ("leak", 4, "expected the same 404"),
        ("public", 5, "expected 200 with 200000 intact bytes"),
        ("exit", 6, "came exit 0"),
        ("anybody", 7, "expected 'permission denied'"),
        ("silence", 8, "expected 503 with the word 'stopped'"),
        ("no button", 8, "expected a button to start it"),
        ("ssh silence", 9, "expected 'starting it'"),
        ("no start", 9, "came exit 0"),
        ("unready", 10, "expected 200 from /readyz"),
        ("counters", 10, "workspaces_gateway_sign_ins_total +0"),
    ],
)
async def test_a_broken_promise_fails_its_own_step_and_no_other(fault: str, step: int, detail: str) -> None:
    """And the step says what was expected and what came."""
    async with Pretender(fault).serve() as world:
        steps = await run_check(world)

    assert [number for number, tried in enumerate(steps) if not tried.ok] == [step], report(steps, as_json=False)
    assert detail in steps[step].detail


async def test_no_token_is_ever_said() -> None:
    """The server tells one back in its refusal, and still neither form of the report holds it."""
    async with Pretender().serve() as world:
        steps = await run_check(world)
    told = report(steps, as_json=False) + report(steps, as_json=True) + repr(world)

    assert "[token]" in told
    assert not [token for token in TOKENS.values() if token in told]


async def test_every_step_fails_where_nothing_listens(unused_tcp_port_factory: Callable[[], int]) -> None:
    """No promise counts as kept for want of an answer, and none stops the next."""
    steps = await run_check(worlds(unused_tcp_port_factory(), unused_tcp_port_factory()))

    assert [(step.name, step.ok) for step in steps] == [(name, False) for name, _ in PROMISES]
    assert all("; came " in step.detail for step in steps)


async def test_a_step_without_an_answer_ends_at_its_limit() -> None:
    """A door that accepts and says nothing costs each step no more than the limit."""

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        steps = await run_check(worlds(port, port), limit=0.2)

    assert not [step for step in steps if step.ok]
    assert steps[0].detail == "expected an end within 0.2 s; came none"
    assert max(step.seconds for step in steps) < 2


class TestReport:
    steps = (
        Step("one", ok=True, seconds=0.126, detail="a"),
        Step("two", ok=False, seconds=12, detail="expected b; came c"),
    )

    def test_has_one_line_for_each_step_and_a_sum(self) -> None:
        """With its time, and what failed stands out."""
        assert report(self.steps, as_json=False).splitlines() == [
            "ok     0.126 s  one: a",
            "FAIL  12.000 s  two: expected b; came c",
            "1 of 2 steps are ok",
        ]

    def test_is_the_same_as_json(self) -> None:
        """For programs."""
        told = json.loads(report(self.steps, as_json=True))

        assert told["ok"] is False
        assert told["steps"][0] == {"name": "one", "ok": True, "seconds": 0.126, "detail": "a"}


class TestWorld:
    @pytest.mark.parametrize("template", ["{port}-{name}.ws.example.org:9876", "{port}-{name}.ws.example.org"])
    def test_knows_which_names_are_the_gateways(self, template: str) -> None:
        """Those of the zone and the portal, whatever the port."""
        network = replace(worlds(1, 2), host_template=template, portal_url="http://gate.example.org:1").network

        assert network.is_gateway("3000-a.ws.example.org")
        assert network.is_gateway("gate.example.org")
        assert not network.is_gateway("gitlab.example.org")
        assert not network.is_gateway("ws.example.org.evil.org")
