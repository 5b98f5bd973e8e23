"""Starts everything the demo consists of in this process: a GitLab, three workspaces, and the gateway before them.

Nothing is shown, nothing is asked; what runs is described by the value that `open_world` gives.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from config.section import Section
from config.settings import AdminSettings, AuthSettings, HttpSettings, RoutingSettings, Settings, SshSettings
from gateway.app import Gateway
from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.lifecycle import run_lifecycle
from gateway.demo.quiet_ports import quiet_ports
from gateway.demo.sshd import WorkspaceSshd
from gateway.demo.visit import DemoUser, World
from gateway.demo.workspace import WorkspaceServers
from gateway.listening import bind_listeners
from gateway.telemetry.log import Log

LOOPBACK = "127.0.0.1"
ZONE = "workspaces.localhost"  # names under .localhost lead to this machine (RFC 6761, section 6.3)
EDITOR_PORT, SITE_PORT, SSH_PORT = 60001, 3000, 60022
RUNNING, OTHERS, STOPPED = "apple-bear-blue", "cherry-crab-red", "plum-owl-grey"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three listeners of the gateway are."""

    http: int = 9876
    ssh: int = 2222
    admin: int = 9877


def free_ports() -> Ports:
    """Three ports that nobody listens on right now."""
    return Ports(*quiet_ports(3))


@dataclass(frozen=True, slots=True)
class OpenWorld:
    """The demo while it runs: what a visitor knows of it, and the parts that a test may want to disturb."""

    visit: World
    settings: Settings
    gateway: Gateway
    state: GitLabState
    gitlab: StandInGitLab
    routes: Path
    """The route file."""
    sshd_kind: str


@asynccontextmanager
async def open_world(
    ports: Ports,
    log: Log,
    clock: Callable[[], float] = time.time,
    sections: Mapping[str, Section] = MappingProxyType({}),
    *,
    certificate: tuple[Path, Path] | None = None,
    adjust: Callable[[Settings, GitLabState], Settings] = lambda settings, _state: settings,
    steady: Callable[[], float] = time.monotonic,
) -> AsyncIterator[OpenWorld]:
    """Run the demo on these ports of the loopback address while the block runs.

    `sections` replace some of its settings as a whole, and `adjust` changes what then is in them.

    With a certificate and its key, the HTTP door speaks TLS.

    Raises:
        CannotListen: if a port cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="workspaces-demo-")))
        state = GitLabState(clock)
        gitlab = StandInGitLab(state)
        scheme = "http" if certificate is None else "https"
        portal = f"{scheme}://{ZONE}:{ports.http}"
        client_id, secret = gitlab.register_application(f"{portal}/auth/callback")
        await stack.enter_async_context(gitlab.serve(LOOPBACK))
        ada, grace = state.add_user("ada", name="Ada"), state.add_user("grace", name="Grace")
        entries, sshd_kind = await _start_workspaces(stack, state, ada, grace)
        routes = folder / "routes.yaml"
        routes.write_text(yaml.safe_dump({"workspaces": entries}, sort_keys=False))
        auth = AuthSettings(
            host=gitlab.url,
            client_id=client_id,
            client_secret=SecretStr(secret),
            redirect_uri=f"{portal}/auth/callback",
            signing_key=SecretStr(secrets.token_hex(32)),
            protocol=scheme,
        )
        settings = _settings(ports, auth, certificate, routes).model_copy(update=dict(sections))
        settings = adjust(settings, state)
        listeners = stack.enter_context(bind_listeners(settings))
        gateway = await stack.enter_async_context(Gateway(settings, log, listeners, clock, steady=steady))
        await stack.enter_async_context(run_lifecycle(state, routes, gateway.reload_routes))
        users = tuple(DemoUser(user.username, SecretStr(state.add_token(user))) for user in (ada, grace))
        visit = World(
            portal_url=portal,
            admin_url=f"http://{LOOPBACK}:{ports.admin}",
            ssh_host=LOOPBACK,
            ssh_port=ports.ssh,
            connect_address=(LOOPBACK, ports.http),
            users=users,
            running=RUNNING,
            others=OTHERS,
            stopped=STOPPED,
            host_template=f"{{port}}-{{name}}.{ZONE}:{ports.http}",
        )
        yield OpenWorld(visit, settings, gateway, state, gitlab, routes, sshd_kind)


async def _start_workspaces(
    stack: AsyncExitStack, state: GitLabState, ada: GitLabUser, grace: GitLabUser
) -> tuple[list[dict[str, object]], str]:
    """Their entries of the route file, and which sshd is in them."""
    entries: list[dict[str, object]] = []
    kind = ""
    for owner, name in ((ada, RUNNING), (grace, OTHERS)):
        servers = await stack.enter_async_context(WorkspaceServers(name))
        sshd = await stack.enter_async_context(WorkspaceSshd())
        kind = sshd.kind
        workspace = state.add_workspace(owner, name)
        ports = (servers.editor_port, servers.site_port, sshd.port)
        entries.append(_entry(name, workspace.id, "running", ports, site="public" if owner is ada else "private"))
    stopped = state.add_workspace(ada, STOPPED, actual_state="Stopped", desired_for=3600)
    closed = free_ports()
    entries.append(_entry(STOPPED, stopped.id, "stopped", (closed.http, closed.admin, closed.ssh), site="private"))
    return entries, kind


def _entry(name: str, number: int, state: str, ports: tuple[int, int, int], *, site: str) -> dict[str, object]:
    editor, web, ssh = ports
    return {
        "name": name,
        "id": number,
        "namespace": f"gl-rd-ns-{name}",
        "agent_id": 1,
        "host_template": f"{{{{.port}}}}-{name}.{ZONE}",
        "address": LOOPBACK,
        "state": state,
        "ports": [
            {"name": "editor-server", "port": editor, "target_port": EDITOR_PORT},
            {"name": f"http-{SITE_PORT}", "port": web, "target_port": SITE_PORT, "visibility": site},
            {"name": "ssh-server", "port": ssh, "target_port": SSH_PORT},
        ],
    }


def _settings(ports: Ports, auth: AuthSettings, certificate: tuple[Path, Path] | None, routes: Path) -> Settings:
    chain, key = certificate or (None, None)
    return Settings(
        auth=auth,
        http=HttpSettings(address=LOOPBACK, port=ports.http, drain_grace=1, tls_certificate=chain, tls_key=key),
        ssh=SshSettings(
            address=LOOPBACK,
            port=ports.ssh,
            public_host="localhost",  # unlike browsers, ssh asks the system, which may not know names below it
            host_key=_new_host_key(),
            drain_grace=1,
        ),
        admin=AdminSettings(address=LOOPBACK, port=ports.admin),
        routing=RoutingSettings(file=routes),
    )


def _new_host_key() -> SecretStr:
    key = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return SecretStr(key.decode())
