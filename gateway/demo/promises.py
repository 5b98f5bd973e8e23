"""What the gateway promises to people, each as one function that tries it from outside.

A promise returns what came when it was kept, and raises `Broken` with what was expected and what came when not.
"""

import hashlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from pydantic import SecretStr

from gateway.demo.browser import Page, without_query
from gateway.demo.terminal import run_over_ssh
from gateway.demo.visit import Visit, scrape

_EDITOR = "/?folder=/projects/demo&tab=a%20b%2Bc"
"""What people bookmark: a query, and in it what a careless gateway decodes."""
_SUBPROTOCOL = "demo.editor"
_DOWNLOAD = 200_000
_UNKNOWN = "no-such-workspace"
_COMMAND = "echo to-stdout; echo to-stderr >&2; exit 7"
_COUNTERS = tuple(
    f"workspaces_gateway_{name}_total"
    for name in ("http_requests", "http_tunnels_opened", "sign_ins", "ssh_connection_attempts")
)

Promise = Callable[[Visit], Awaitable[str]]


class Broken(Exception):
    """The gateway did something else than it promised."""

    def __init__(self, expected: str, came: object) -> None:
        super().__init__(f"expected {expected}; came {came}")


async def _sends_strangers_to_sign_in(visit: Visit) -> str:
    page = await visit.stranger.navigate(_editor_url(visit, visit.world.running))
    start = f"{visit.world.portal_url}/auth/start?to="
    if page.status != 303 or not (page.next_url or "").startswith(start):
        raise Broken(f"303 to {without_query(start)}", page)
    return str(page)


async def _signs_in_to_the_exact_address(visit: Visit) -> str:
    url = _editor_url(visit, visit.world.running)
    page = await visit.owner.visit(url, visit.world.users[0].username)
    if page.status != 200 or page.url != url:
        is_same_page = without_query(page.url) == without_query(url)
        raise Broken(f"200 from {url}", f"{page.status} from {page.url}" if is_same_page else page)
    return f"200 from {url}"


async def _shows_the_editor_of_the_workspace(visit: Visit) -> str:
    page = await visit.owner.navigate(_editor_url(visit, visit.world.running))
    if page.status != 200 or "demo editor" not in page.text or "/projects/demo" not in page.text:
        raise Broken("the demo editor with its folder, without another sign-in", page)
    return f"{len(page.body)} bytes of the demo editor, folder included"


async def _carries_web_sockets(visit: Visit) -> str:
    url = visit.world.address(visit.world.running, visit.world.editor_port, "/ws")
    text, binary = "grüße", bytes(range(256)) * 400
    async with visit.owner.open_socket(url, (_SUBPROTOCOL,)) as opened:
        await opened.send_str(text)
        await opened.send_bytes(binary)
        came = (opened.protocol, await opened.receive(), await opened.receive())
    if (came[0], came[1].data, came[2].data) != (_SUBPROTOCOL, text, binary):
        kinds = ", ".join(message.type.name for message in came[1:])
        raise Broken(f"an echo of text and bytes over {_SUBPROTOCOL}", f"{kinds} over {came[0]}")
    return f"text and {len(binary)} bytes came back over {_SUBPROTOCOL}"


async def _hides_workspaces_of_others(visit: Visit) -> str:
    """Only who enters somewhere can be turned away elsewhere, so the other person's own workspace comes first."""
    username = visit.world.users[1].username
    own = await visit.other.visit(_editor_url(visit, visit.world.others), username)
    if own.status != 200:
        raise Broken("200 from the other user's own workspace", own)
    foreign = await visit.other.visit(_editor_url(visit, visit.world.running), username)
    unknown = await visit.other.visit(_editor_url(visit, _UNKNOWN), username)
    if foreign.status != 404 or unknown.status != 404:
        raise Broken("404 for a foreign and for an unknown workspace", f"{foreign} and {unknown}")
    portal_url = visit.world.portal_url
    if _anonymised(foreign, portal_url) != _anonymised(unknown, portal_url):
        raise Broken("the same 404 for a foreign and for an unknown workspace", f"two that differ, {foreign}")
    return f"404 for both, {len(unknown.body)} bytes that are the same but for the request id"


async def _leaves_public_ports_open(visit: Visit) -> str:
    target = f"/download?bytes={_DOWNLOAD}"
    page = await visit.stranger.fetch(visit.world.address(visit.world.running, visit.world.site_port, target))
    digest = hashlib.sha256(page.body).hexdigest()
    if page.status != 200 or page.headers.get("X-SHA256") != digest:
        raise Broken(f"200 with {_DOWNLOAD} intact bytes", f"{page} with {len(page.body)} bytes")
    return f"200 with {len(page.body)} intact bytes"


async def _runs_commands_over_ssh(visit: Visit) -> str:
    outcome = await run_over_ssh(visit.world.login(visit.world.running, visit.world.users[0].token), _COMMAND)
    if (outcome.status, outcome.stdout) != (7, "to-stdout\n") or "to-stderr\n" not in outcome.stderr:
        raise Broken("exit 7, stdout 'to-stdout', stderr 'to-stderr'", outcome)
    return "exit 7 with its stdout and stderr"


async def _refuses_wrong_tokens(visit: Visit) -> str:
    wrong = SecretStr("no-token-of-anybody")
    outcome = await run_over_ssh(visit.world.login(visit.world.running, wrong), _COMMAND)
    if not outcome.is_refused or "permission denied" not in outcome.stderr.lower():
        raise Broken("'permission denied'", outcome)
    return "permission denied"


async def _explains_a_stopped_workspace(visit: Visit) -> str:
    owner, stopped = visit.world.users[0], visit.world.stopped
    page = await visit.owner.visit(_editor_url(visit, stopped), owner.username)
    if page.status != 503 or "stopped" not in page.text.lower():
        raise Broken("503 with the word 'stopped'", page)
    if "<form" not in page.text:
        raise Broken("a button to start it", page)
    return "503 with a button to start it"


async def _starts_a_stopped_workspace_over_ssh(visit: Visit) -> str:
    outcome = await run_over_ssh(visit.world.login(visit.world.stopped, visit.world.users[0].token), _COMMAND)
    if (outcome.status, outcome.stdout) != (7, "to-stdout\n") or "starting it" not in outcome.stderr:
        raise Broken("'starting it', and then exit 7 with stdout 'to-stdout'", outcome)
    said = next(line for line in outcome.stderr.splitlines() if "starting it" in line)
    return f"{said!r}, and then exit 7 with its stdout"


async def _counts_and_is_healthy(visit: Visit) -> str:
    for path in ("/healthz", "/readyz"):
        page = await visit.stranger.fetch(visit.world.admin_url + path)
        if page.status != 200:
            raise Broken(f"200 from {path}", page)
    if isinstance(visit.before, Exception):
        raise Broken("counters before the first step", f"{type(visit.before).__name__}: {visit.before}")
    after = await scrape(visit.stranger, visit.world)
    moved = {name: after.get(name, 0) - visit.before.get(name, 0) for name in _COUNTERS}
    came = ", ".join(f"{name} +{step:g}" for name, step in moved.items())
    if min(moved.values()) <= 0:
        raise Broken("every counter to move", came)
    return came


PROMISES: tuple[tuple[str, Promise], ...] = (
    ("an anonymous navigation is sent to sign-in", _sends_strangers_to_sign_in),
    ("sign-in ends at the exact original address", _signs_in_to_the_exact_address),
    ("the editor's page is the workspace's own", _shows_the_editor_of_the_workspace),
    ("a WebSocket makes a round trip", _carries_web_sockets),
    ("another user sees what an unknown host shows", _hides_workspaces_of_others),
    ("the public port answers without sign-in", _leaves_public_ports_open),
    ("ssh with the token runs a command", _runs_commands_over_ssh),
    ("ssh with a wrong token is refused", _refuses_wrong_tokens),
    ("the stopped workspace says so", _explains_a_stopped_workspace),
    ("ssh starts the stopped workspace and waits for it", _starts_a_stopped_workspace_over_ssh),
    ("the counters moved, and the gateway is healthy", _counts_and_is_healthy),
)
"""In the order in which one visit tries them."""


def _editor_url(visit: Visit, workspace: str) -> str:
    return visit.world.address(workspace, visit.world.editor_port, _EDITOR)


def _anonymised(page: Page, portal_url: str) -> tuple[bool, str, str, bytes]:
    """What may not differ between a foreign and an unknown host, where on which of the sites it was said included."""
    request_id = page.headers.get("X-Request-Id", "").encode()
    body = page.body.replace(request_id, b"-") if request_id else page.body
    where = urlsplit(page.url)
    return where.netloc == urlsplit(portal_url).netloc, where.path, page.headers.get("Content-Type", ""), body
