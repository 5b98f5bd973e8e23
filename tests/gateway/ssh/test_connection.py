"""The login: who is let in, what everybody else reads, and how often GitLab is asked on the way."""

import asyncio
import time
from contextlib import suppress

import asyncssh
import pytest
from asyncssh.packet import Boolean, String, UInt32

from auth.model import GitLabUnavailable, ScopeMissing, Unavailable, refused
from config.settings import SshSettings
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh import limits
from gateway.ssh.internals.ends import WorkspaceLeg
from gateway.ssh.upstream import Unreachable, Upstreams
from routing.model import Endpoint, Workspace, WorkspaceState
from tests.gateway.ssh.conftest import LOOPBACK, TOKEN, WORKSPACE, Bench, Gateway

ONCE = ("-o", "NumberOfPasswordPrompts=1")
PASSWORD_ONLY = ("-o", "PreferredAuthentications=password")
KBDINT_ONLY = ("-o", "PreferredAuthentications=keyboard-interactive")


@pytest.mark.parametrize("method", [PASSWORD_ONLY, KBDINT_ONLY], ids=["password", "keyboard-interactive"])
async def test_the_owners_token_opens_the_workspace(gateway: Gateway, method: tuple[str, ...]) -> None:
    done = await gateway.ssh(*method, "echo in")

    assert (done.out, gateway.access.asked) == (b"in\n", ["7"])


@pytest.mark.parametrize(
    "answer", [f"{TOKEN}\n", f"  {TOKEN}\r\n", f"\t{TOKEN}"], ids=["newline", "windows newline", "tab"]
)
@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
async def test_white_space_pasted_around_a_token_does_no_harm(gateway: Gateway, method: str, answer: str) -> None:
    async with gateway.connect(password=answer, preferred_auth=method) as client:
        assert (await client.run("echo in")).stdout == "in\n"


@pytest.mark.parametrize("answer", ["", " \n", "a b", f"{TOKEN}\nX-Header: 1", "x" * 5000, "\x00", "töken"])
@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
async def test_what_can_be_no_token_is_refused_without_asking_gitlab(
    gateway: Gateway, method: str, answer: str
) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(password=answer, preferred_auth=method):
            pass

    assert gateway.access.asked == []
    assert gateway.events("ssh.refused")[0]["reason"] == "malformed_token"


async def test_only_token_methods_are_offered_and_none_is_never_enough(gateway: Gateway) -> None:
    done = await gateway.ssh("-o", "PreferredAuthentications=none", "true")

    assert done.code == 255
    assert "Permission denied (keyboard-interactive,password)." in done.err


@pytest.mark.parametrize("method", [(), PASSWORD_ONLY, KBDINT_ONLY], ids=["any", "password", "keyboard-interactive"])
async def test_all_methods_share_three_tries(gateway: Gateway, method: tuple[str, ...]) -> None:
    done = await gateway.ssh(*method, "-o", "NumberOfPasswordPrompts=10", "true", token="glpat-wrong")

    assert done.code == 255
    assert ":14: Permission denied" in done.err
    assert len(gateway.events("ssh.refused")) == 3


@pytest.mark.parametrize(
    "user",
    ["nobody", "APPLE", "apple.ns", "../apple", "apple;id", "apple%00", "x" * 1023, "apple ", "svc.kube-system", "-"],
)
async def test_no_other_name_leads_anywhere_and_gitlab_is_asked_all_the_same(gateway: Gateway, user: str) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(username=user):
            pass

    assert gateway.access.asked == ["0"]
    assert gateway.events("ssh.refused")[0]["reason"] == "denied"


async def test_a_name_that_is_prepared_to_a_valid_one_is_that_one(gateway: Gateway) -> None:
    async with gateway.connect(username="\uff41pple"):  # full-width a; SASLprep (RFC 4013) makes it a plain one
        pass

    assert gateway.access.asked == ["7"]


async def test_a_foreign_an_unknown_and_a_stopped_workspace_look_alike_to_a_stranger(bench: Bench) -> None:
    gateway = await bench.open_door(None, failure_delay=0.2)
    seen, seconds = [], []
    for user, state in (("nobody", "Running"), (WORKSPACE, "Running"), (WORKSPACE, "Stopped")):
        gateway.access.state = state
        started = time.monotonic()
        done = await gateway.ssh(*ONCE, *PASSWORD_ONLY, "true", user=user, token="glpat-of-a-stranger")
        seen.append((done.code, done.err.replace(user, "<user>")))
        seconds.append(time.monotonic() - started)

    assert seen[0] == seen[1] == seen[2]
    assert max(seconds) - min(seconds) < 1  # the same steps, on a busy machine
    assert seen[0][1].strip() == "<user>@127.0.0.1: Permission denied (keyboard-interactive,password)."


@pytest.mark.parametrize("state", ["Stopped", "Starting", "Failed", "Terminated", "CreationRequested"])
async def test_the_owner_of_a_workspace_that_does_not_run_reads_why_at_once(bench: Bench, state: str) -> None:
    gateway = await bench.open_door(None, portal_url="https://workspaces.example.dev")
    gateway.access.state = state
    done = await gateway.ssh("true")

    text = f"workspace apple is {state}, see https://workspaces.example.dev"
    assert done.code == 255
    assert done.err.splitlines()[0] == text
    assert f":14: {text}" in done.err
    assert len(gateway.access.asked) == 1


@pytest.mark.parametrize(
    ("state", "text"),
    [(WorkspaceState.STOPPED, "workspace apple is Stopped"), (WorkspaceState.STARTING, "workspace apple is Starting")],
)
@pytest.mark.parametrize("word_of_gitlab", ["", "Unknown", "Running"])
async def test_where_gitlab_knows_no_better_the_cluster_says_it(
    bench: Bench, state: WorkspaceState, text: str, word_of_gitlab: str
) -> None:
    gateway = await bench.open_door(None)
    gateway.change_workspace(state=state)
    gateway.access.state = word_of_gitlab
    done = await gateway.ssh("true")

    assert done.err.splitlines()[0] == text


async def test_at_quiet_log_level_only_the_exit_code_tells(bench: Bench) -> None:
    gateway = await bench.open_door(None)
    done = await gateway.ssh("-q", "-o", "LogLevel=QUIET", "true")

    assert done.code == 255


@pytest.mark.parametrize("answer", [Unavailable("timeout"), GitLabUnavailable("502")], ids=["verdict", "fault"])
@pytest.mark.parametrize("user", [WORKSPACE, "nobody"])
async def test_without_gitlab_nobody_enters_and_everybody_is_told(
    gateway: Gateway, answer: Unavailable | GitLabUnavailable, user: str
) -> None:
    gateway.access.answer = answer
    done = await gateway.ssh("true", user=user)

    assert done.code == 255
    assert done.err.splitlines()[0] == "GitLab is not reachable, try again"
    assert ":7: GitLab is not reachable, try again" in done.err


async def test_a_token_without_the_scope_is_told_so_and_another_may_be_tried(gateway: Gateway) -> None:
    gateway.access.answer = refused(ScopeMissing("insufficient_scope"))
    done = await gateway.ssh("-o", "NumberOfPasswordPrompts=2", *PASSWORD_ONLY, "true")

    assert done.err.count("token needs the read_api scope") == 2
    assert len(gateway.events("ssh.refused")) == 2


async def test_a_failure_of_the_gateway_itself_ends_that_connection_alone(gateway: Gateway) -> None:
    gateway.access.answer = RuntimeError(f"something with {TOKEN}")
    failed = await gateway.ssh("true")
    gateway.access.answer = None
    works = await gateway.ssh("echo in")

    assert (failed.code, works.out) == (255, b"in\n")
    assert gateway.events("ssh.refused")[0]["reason"] == "internal"
    assert TOKEN not in gateway.log.getvalue()


async def test_a_second_user_name_ends_the_connection_while_the_first_is_checked(gateway: Gateway) -> None:
    gateway.directory.workspaces["berry"] = gateway.workspace
    gateway.access.gate = asyncio.Event()
    with pytest.raises(asyncssh.ProtocolError, match="Change of user name"):
        async with gateway.connect(client_factory=lambda: Pipeliner(["nobody", WORKSPACE], [TOKEN] * 2, gateway)):
            pass

    assert gateway.events("ssh.login") == []
    assert gateway.access.most_open_questions == 1


async def test_a_thousand_pipelined_tries_cost_three_questions_one_at_a_time(gateway: Gateway) -> None:
    tokens = [f"glpat-wrong-{number}" for number in range(1000)]
    with pytest.raises(asyncssh.DisconnectError, match="Permission denied"):
        async with gateway.connect(client_factory=lambda: Pipeliner([WORKSPACE] * 1000, tokens, gateway)):
            pass

    assert len(gateway.access.asked) == 3
    assert gateway.access.most_open_questions == 1


async def test_a_check_that_was_called_off_counts_and_ends_before_the_next_begins(gateway: Gateway) -> None:
    gateway.access.gate = asyncio.Event()
    with pytest.raises(asyncssh.DisconnectError, match="Permission denied"):
        async with gateway.connect(client_factory=lambda: Abandoner(gateway), preferred_auth="keyboard-interactive"):
            pass

    assert len(gateway.access.asked) == 3
    assert gateway.access.most_open_questions == 1


async def test_a_client_that_leaves_during_the_check_leaves_nothing_behind(gateway: Gateway) -> None:
    gateway.access.gate = asyncio.Event()
    ssh = asyncio.get_running_loop().create_task(gateway.ssh("true"))
    async with asyncio.timeout(10):
        while not gateway.access.asked:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
    ssh.cancel()
    await gateway.door.drain(10)

    assert gateway.access.open_questions == 0
    assert gateway.sample("ssh_connections", state="login") == 0


async def test_a_login_takes_no_longer_than_its_grace(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), login_grace=0.3)
    gateway.access.gate = asyncio.Event()
    done = await gateway.ssh("true")

    assert done.code == 255
    assert gateway.events("ssh.closed")[0]["reason"] == "Login timeout expired"
    assert gateway.access.open_questions == 0


async def test_a_flood_before_the_login_is_cut_off(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    writer.write(b"SSH-2.0-flood\r\n" + bytes(limits.LOGIN_BYTES))
    with suppress(ConnectionResetError):
        async with asyncio.timeout(10):
            await reader.read()
    writer.close()

    await gateway.door.drain(10)
    assert gateway.sample("ssh_connections", state="login") == 0


async def test_what_speaks_no_ssh_is_told_so_in_openssh_s_words(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    writer.close()

    assert answer.endswith(b"Invalid SSH identification string.\r\n")


async def test_a_connection_without_a_word_is_logged_for_nobody(gateway: Gateway) -> None:
    _, writer = await asyncio.open_connection(LOOPBACK, gateway.door.port)
    writer.close()
    await writer.wait_closed()
    await gateway.door.drain(10)

    assert {event["level"] for name in ("ssh.connected", "ssh.closed") for event in gateway.events(name)} == {"debug"}
    assert gateway.sample("ssh_connection_attempts_total", result="no_login", error_type="NO_LOGIN") == 1
    assert 'result="refused"' not in gateway.metrics.render().decode()


async def test_a_session_is_logged_from_login_to_end_with_who_where_and_how_much(gateway: Gateway) -> None:
    await gateway.ssh("echo in")
    await gateway.door.drain(10)
    (login,), (closed,) = gateway.events("ssh.login"), gateway.events("ssh.closed")

    assert (login["workspace"], login["user"]) == (WORKSPACE, "ada")
    assert login["client"] == LOOPBACK
    assert closed["reason"] == "disconnected by user"
    assert closed["received"] > 0
    assert closed["sent"] > 0
    assert gateway.sample("ssh_connection_attempts_total", result="opened", error_type="") == 1
    assert gateway.sample("ssh_connections", state="open") == 0
    assert gateway.sample("ssh_relay_bytes_total", direction="sent") > 0


async def test_a_connection_whose_legs_end_in_one_moment_ends_once(bench: Bench) -> None:
    gateway, _, _ = await bench.join()
    for connection in list(gateway.door._connections):
        connection.kill()
    await gateway.door.drain(10)

    assert len(gateway.events("ssh.closed")) == 1
    assert gateway.sample("ssh_connections", state="open") == 0


async def test_a_name_made_to_forge_a_log_line_stays_one_short_field(gateway: Gateway) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with gateway.connect(username="x" * 500 + '"} {"event": "forged'):
            pass

    (refused,) = gateway.events("ssh.refused")
    assert len(refused["workspace"]) == 64
    assert gateway.events("forged") == []


class Pipeliner(asyncssh.SSHClient):
    """Sends one password request after the other without waiting for an answer."""

    def __init__(self, users: list[str], tokens: list[str], gateway: Gateway) -> None:
        self._users = users
        self._tokens = tokens
        self._gateway = gateway

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._conn = conn

    def begin_auth(self, _username: str) -> None:
        for user, token in zip(self._users, self._tokens, strict=True):
            self._conn.send_packet(50, password_request(user, token))
        if self._gateway.access.gate is not None:
            asyncio.get_running_loop().call_later(0.1, self._gateway.access.gate.set)


class Abandoner(asyncssh.SSHClient):
    """Answers a prompt and asks for the next one at once, while the answer is still checked."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._conn = conn

    def kbdint_auth_requested(self) -> str:
        return ""

    async def kbdint_challenge_received(
        self, _name: str, _instructions: str, _lang: str, _prompts: object
    ) -> list[str] | None:
        questions = len(self._gateway.access.asked)
        self._conn.send_packet(61, UInt32(1) + String("glpat-wrong"))
        while len(self._gateway.access.asked) == questions < 3:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
        method = String("keyboard-interactive") + String("") + String("")
        self._conn.send_packet(50, String(WORKSPACE) + String("ssh-connection") + method)
        await asyncio.Event().wait()  # until the next prompt, or the end, calls this off
        return None


def password_request(user: str, token: str) -> bytes:
    return String(user) + String("ssh-connection") + String("password") + Boolean(False) + String(token)  # noqa: FBT003 - the encoder takes it so


class _Untimely(Upstreams):
    """Has the client leave in the very moment in which the workspace's sshd has let the gateway in."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(SshSettings())
        self._gateway = gateway
        self.reached: list[WorkspaceLeg] = []

    async def dial(self, workspace: Workspace) -> WorkspaceLeg | Unreachable:
        leg = await super().dial(workspace)
        assert isinstance(leg, WorkspaceLeg)
        self.reached.append(leg)
        for connection in list(self._gateway.door._connections):
            connection.kill()
        return leg


async def test_a_client_that_leaves_as_the_workspace_lets_it_in_leaves_nothing_behind(gateway: Gateway) -> None:
    gateway.door._admission._upstreams = upstreams = _Untimely(gateway)
    with pytest.raises((asyncssh.Error, OSError)):
        async with gateway.connect():
            pass
    async with asyncio.timeout(10):
        await gateway.door.drain(10)
        await upstreams.reached[0].gone

    assert gateway.events("ssh.login") == []
    assert repr(gateway.door._crowd) == "Crowd(connections=0, startups=0, sessions=0)"
