"""What a soak runs against: `python -m gateway serve` as a process of its own, and everything around it in this one.

A stand-in GitLab with three people; two workspaces that stay and guests that come and go in the route file; one HTTP
server and one sshd that stand in for those of all workspaces.
"""

import asyncio
import fcntl
import json
import os
import random
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import asyncssh
import yaml
from pydantic import SecretStr

from gateway.demo.browser import Network
from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_model import GitLabUser
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.sshd import WorkspaceSshd
from gateway.demo.terminal import Login
from gateway.demo.world import EDITOR_PORT, LOOPBACK, SSH_PORT, ZONE, Ports, free_ports
from tests.soak.ledger import Lease, Ledger
from tests.soak.vitals import Vitals, look
from tests.soak.workspace import serve_workspaces

OPEN_PORT, INTERNAL_PORT, SHARED_PORT = 3000, 9000, 8080
"""Public, internal, and whatever its owner declares it to be from minute to minute."""

KEYS_KEPT = 20  # of a rotation every minute or so: a grant lives ten minutes
POOL_SECONDS = 5  # for idle connections to workspaces, so that a soak need not wait for 90 s at its end
BUSY_SECONDS = 60  # for what the gateway gives less: that it is late on a busy machine is no fault
_START_SECONDS = 60


@dataclass(eq=False)
class Workspace:
    """One of the route file, until it is removed from there."""

    name: str
    number: int
    owner: str
    token: SecretStr
    uid: str
    lease: Lease = field(default_factory=Lease)


class Stage:
    """Everything that the load works with."""

    def __init__(self, ports: Ports, folder: Path, state: GitLabState, seed: int, limits: Mapping[str, Any]) -> None:
        self.ports = ports
        self.folder = folder
        self.state = state
        self.random = random.Random(seed)  # noqa: S311 - a load, not a secret
        self.ledger = Ledger()
        self.ending = asyncio.Event()
        """What has no end of its own ends."""
        self.changing = asyncio.Lock()
        """Of the openness of the shared port: one change at a time."""
        self.reloading = asyncio.Lock()
        """Of the settings: one change at a time."""
        self.openness = {"internal": Lease(), "public": Lease()}
        """Of the shared port, for those who need it at least so open."""
        self.workspaces: list[Workspace] = []
        self.home = Path()
        """Of the user of all workspaces, as seen from here."""
        self.http_port = 0
        """Of the server of all workspaces."""
        self._limits = limits
        self._settings: dict[str, dict[str, Any]] = {}
        self._sshd_port = 0
        self._serials = count()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def portal(self) -> str:
        return f"http://{ZONE}:{self.ports.http}"

    @property
    def network(self) -> Network:
        return Network((LOOPBACK, self.ports.http), ZONE, ZONE)

    @property
    def pid(self) -> int:
        """Of the gateway."""
        assert self._process is not None
        return self._process.pid

    def address(self, workspace: Workspace, port: int, target: str = "/") -> str:
        return f"http://{port}-{workspace.name}.{ZONE}:{self.ports.http}{target}"

    def login(self, workspace: Workspace) -> Login:
        return Login(LOOPBACK, self.ports.ssh, workspace.name, workspace.token)

    def serial(self) -> str:
        """A name that nothing had before."""
        return f"s{next(self._serials)}"

    def user(self, name: str) -> GitLabUser:
        user = self.state.get_user(name)
        assert user is not None
        return user

    def any(self) -> Workspace:
        """One that stays."""
        return self.random.choice(self.workspaces)

    def size(self, most: int) -> int:
        """Of something that is sent: small ones are as frequent as large ones."""
        return int(10 ** self.random.uniform(0, len(str(most)) - 1))

    def add(self, name: str, owner: str) -> Workspace:
        """A workspace that GitLab knows, and the route file."""
        user = self.user(owner)
        number = self.state.add_workspace(user, name).id
        token = SecretStr(self.state.add_token(user))
        workspace = Workspace(name, number, owner, token, uid=secrets.token_hex(8))
        with self._routes() as entries:
            entries[:] = [entry for entry in entries if entry["name"] != name]  # type: ignore[index]  # YAML
            entries.append(self._entry(workspace))
        return workspace

    def renew(self, workspace: Workspace) -> Workspace:
        """Another of the same name and owner takes its place; whatever is open towards it may end from now on."""
        self._retire(workspace)
        return self.add(workspace.name, workspace.owner)

    def remove(self, workspace: Workspace) -> None:
        """From GitLab and from the route file; whatever is open towards it may end from now on."""
        self._retire(workspace)
        with self._routes() as entries:
            entries[:] = [entry for entry in entries if entry["uid"] != workspace.uid]  # type: ignore[index]  # YAML

    def _retire(self, workspace: Workspace) -> None:
        workspace.lease.lose()
        self.state.remove_workspace(workspace.number)
        self.state.revoke(workspace.token.get_secret_value())

    @property
    def admin(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.admin}"

    async def vitals(self) -> Vitals:
        return await look(self.pid, self.admin)

    def configure(self, **sections: dict[str, object]) -> None:
        """Write the settings anew, with these keys added or changed for good."""
        for section, keys in sections.items():
            self._settings[section] = self._settings.get(section, {}) | keys
        self._write_settings(self._settings)

    def misconfigure(self) -> None:
        """Write settings that nobody can take up."""
        self._write_settings({**self._settings, "nonsense": {"key": 1}})

    def rotate_keys(self) -> None:
        """Seal with another key from now on; the last ones still open what they sealed."""
        auth = self._settings["auth"]
        previous = [auth["signing_key"], *auth.get("previous_signing_keys", [])]
        self.configure(auth={"signing_key": secrets.token_hex(32), "previous_signing_keys": previous[:KEYS_KEPT]})

    def signal_reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def _write_settings(self, settings: Mapping[str, object]) -> None:
        path = self.folder / "settings.yaml"
        path.with_suffix(".new").write_text(yaml.safe_dump(settings))
        path.with_suffix(".new").rename(path)

    def logged(self) -> Counter[str]:
        """How often each event was logged at the level warning or above; what is no event is one of its own."""
        told: Counter[str] = Counter()
        for line in (self.folder / "log").read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                told[f"error no JSON: {line}"] += 1
                continue
            if said["level"] not in {"debug", "info"}:
                told[f"{said['level']} {said['event']}"] += 1
        return told

    @asynccontextmanager
    async def serve(self, gitlab: StandInGitLab, stack: AsyncExitStack) -> AsyncIterator[None]:
        """Run everything while the block runs."""
        sshd = await stack.enter_async_context(WorkspaceSshd())
        self.home, self._sshd_port = sshd.home, sshd.port
        self.http_port = await stack.enter_async_context(serve_workspaces())
        (self.folder / "routes.yaml").write_text("workspaces: []\n")
        self.workspaces = [self.add("apple", "ada"), self.add("cherry", "grace")]
        self._settings = self._first_settings(gitlab)
        self.configure(**self._limits)
        command = ["-m", "gateway", "serve", "--config", str(self.folder / "settings.yaml")]
        with (self.folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", sys.executable, *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                start_new_session=True,
            )
        try:
            await self._wait_open()
            yield
        finally:
            if self._process.returncode is None:
                self._process.terminate()
            async with asyncio.timeout(_START_SECONDS):
                await self._process.wait()

    @property
    def status(self) -> int | None:
        """Of the gateway, once it has ended."""
        assert self._process is not None
        return self._process.returncode

    async def _wait_open(self) -> None:
        async with asyncio.timeout(_START_SECONDS):
            while '"gateway.open"' not in (said := (self.folder / "log").read_text()):
                if self.status is not None:
                    raise RuntimeError(f"the gateway ended:\n{said}")
                await asyncio.sleep(0.1)  # another process, which tells nobody but its log

    @contextmanager
    def _routes(self) -> Iterator[list[object]]:
        """The entries of the route file, to be changed; the gateway itself writes it too, under the same lock."""
        path = self.folder / "routes.yaml"
        lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            told = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
            yield told["workspaces"]
            path.with_suffix(".new").write_text(yaml.dump(told, Dumper=yaml.CSafeDumper, sort_keys=False))
            path.with_suffix(".new").rename(path)
        finally:
            os.close(lock)

    def _entry(self, workspace: Workspace) -> dict[str, object]:
        http = {"port": self.http_port}
        return {
            "name": workspace.name,
            "id": workspace.number,
            "uid": workspace.uid,
            "host_template": f"{{{{.port}}}}-{workspace.name}.{ZONE}",
            "address": LOOPBACK,
            "state": "running",
            "ports": [
                {"name": "editor-server", "target_port": EDITOR_PORT, **http},
                {"name": "open", "target_port": OPEN_PORT, "visibility": "public", **http},
                {"name": "internal", "target_port": INTERNAL_PORT, "visibility": "internal", **http},
                {"name": "shared", "target_port": SHARED_PORT, "visibility": "public", **http},
                {"name": "ssh-server", "port": self._sshd_port, "target_port": SSH_PORT},
            ],
        }

    def _first_settings(self, gitlab: StandInGitLab) -> dict[str, dict[str, Any]]:
        client_id, client_secret = gitlab.register_application(f"{self.portal}/auth/callback")
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(self.folder / "host_key")
        return {
            "auth": {
                "host": gitlab.url,
                "client_id": client_id,
                "client_secret": client_secret,
                "redirect_uri": f"{self.portal}/auth/callback",
                "signing_key": secrets.token_hex(32),
                "protocol": "http",
                "timeout": BUSY_SECONDS,
            },
            "http": {
                "address": LOOPBACK,
                "port": self.ports.http,
                "pool_idle_timeout": POOL_SECONDS,
                "connect_timeout": BUSY_SECONDS,
                "head_timeout": BUSY_SECONDS,
                "drain_grace": 2,
            },
            "ssh": {
                "address": LOOPBACK,
                "port": self.ports.ssh,
                "host_key_files": [str(self.folder / "host_key")],
                "ban_exempt": ["127.0.0.0/8"],  # where the load's made-up tokens come from, and its good ones too
                "max_startups_per_ip": 50,
                "connect_timeout": BUSY_SECONDS,
                "handshake_timeout": BUSY_SECONDS,
                "login_grace": 2 * BUSY_SECONDS,
                "drain_grace": 2,
            },
            "admin": {"address": LOOPBACK, "port": self.ports.admin},
            "routing": {"file": str(self.folder / "routes.yaml")},
            "visibility": {"interstitial": False},
        }


@asynccontextmanager
async def open_stage(seed: int, limits: Mapping[str, Any] = MappingProxyType({})) -> AsyncIterator[Stage]:
    """A stage whose gateway is ready, while the block runs; `limits` are settings beside those it needs."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="workspaces-soak-")))
        state = GitLabState()
        for name in ("ada", "grace", "lin"):
            state.add_user(name)
        gitlab = StandInGitLab(state)
        await stack.enter_async_context(gitlab.serve())
        stage = Stage(free_ports(), folder, state, seed, limits)
        async with stage.serve(gitlab, stack):
            yield stage
