"""What is measured over SSH: the gateway and the plain relay in front of the same two sshds, and the way without them.

`bench` takes the load and `other`, its neighbour, the keystrokes, whose sshd runs before everything else on its core.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import asyncssh
import yaml

from gateway.demo.sshd import USER
from tests.bench.gitlab import START_SECONDS, WORKSPACES, start_gitlab
from tests.bench.peers import free_port
from tests.bench.process import LOAD_CORE, PROXY_CORE, Program, Programs, wait_until

CIPHER = "aes128-gcm@openssh.com"
COMMAND_SECONDS = 60  # a gibibyte takes a tenth of it, a command a hundredth
PIPE = subprocess.PIPE
_CLIENT = (
    *(
        "-F",
        "/dev/null",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    ),
    *("-o", "ControlPath=none", "-o", "IdentityFile=none", "-o", "IdentityAgent=none", "-c", CIPHER, "-T"),
)


@dataclass(frozen=True)
class Peer:
    """A way to the sshds of the workspaces: through a relay, or none."""

    name: str
    ports: Mapping[str, int]
    """By workspace; a relay has the same one for both."""
    users: Mapping[str, str]
    environment: Mapping[str, str] = field(repr=False)
    """Of the client; it answers the prompt for a password."""
    program: Program | None = None

    def cpu_seconds(self) -> float:
        return self.program.cpu_seconds() if self.program else 0.0

    def start(
        self,
        workspace: str,
        command: str,
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
    ) -> "subprocess.Popen[bytes]":
        """OpenSSH's client with a command in a workspace; whoever calls ends it."""
        destination = ("-p", str(self.ports[workspace]), f"{self.users[workspace]}@127.0.0.1")
        return subprocess.Popen(  # noqa: S603 - the commands are those of this folder
            ["setpriv", "--pdeathsig", "TERM", "ssh", *_CLIENT, *destination, command],  # noqa: S607 - Debian's
            env=dict(self.environment),
            stdin=stdin,
            stdout=stdout,
            stderr=PIPE,
            start_new_session=True,
        )

    def run(self, workspace: str, command: str, *, stdin: int | IO[bytes] = subprocess.DEVNULL) -> str:
        """What the command said on stderr.

        Raises:
            RuntimeError: if it failed or took too long.
        """
        with self.start(workspace, command, stdin=stdin) as process:
            try:
                _, told = process.communicate(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise RuntimeError(f"{self.name}: {command!r} did not end") from None
        if process.returncode:
            raise RuntimeError(f"{self.name}: {command!r} ended with {process.returncode}: {told.decode()}")
        return told.decode()


class Site:
    """Two workspaces, the GitLab that knows their owner, and the way to start relays in front of them."""

    def __init__(self, stack: ExitStack) -> None:
        """Start what is not measured; everything ends with the stack."""
        self._programs = Programs(stack)
        self._gitlab = start_gitlab(self._programs, ["http://ws.example.dev/auth/callback"])
        sshds = {name: self._start_sshd(name, *(["hurried"] if name == "other" else [])) for name in WORKSPACES}
        self.token_file = self._programs.folder / "token"
        self.token_file.write_text(self._gitlab.token + "\n")
        self.zeros = self._programs.folder / "zeros"
        """A file to send, which takes no memory."""
        self.direct = Peer("direct", sshds, dict.fromkeys(WORKSPACES, USER), self._environment())
        self._through = replace(self.direct, users={name: name for name in WORKSPACES})

    def start_program(self, name: str, core: int, command: Sequence[str], stack: ExitStack) -> Program:
        """One more, which ends with the stack."""
        return self._programs.start(name, core, lambda _: command, stack)

    @contextmanager
    def gateway(self, name: str = "gateway") -> Iterator[Peer]:
        """As `python -m gateway serve` runs it, but for its limits on how many may come from one address."""
        port = free_port()

        def prepare(folder: Path) -> list[str]:
            (folder / "routes.yaml").write_text(yaml.safe_dump({"workspaces": self._routes()}))
            (folder / "settings.yaml").write_text(yaml.safe_dump(self._settings(folder, port)))
            module = os.environ.get("GATEWAY_MODULE", "gateway")
            return [sys.executable, "-m", module, "serve", "--config", str(folder / "settings.yaml")]

        with self._relay(name, port, prepare) as peer:
            yield peer

    @contextmanager
    def plain_relay(self) -> Iterator[Peer]:
        """What asyncssh's public interface leads one to write."""
        port = free_port()
        workspaces = [f"{name}={sshd}" for name, sshd in self.direct.ports.items()]
        command = [sys.executable, "-m", "tests.bench.ssh_relay", str(port), *workspaces]
        with self._relay("plain relay", port, lambda _: command) as peer:
            yield peer

    @contextmanager
    def _relay(self, name: str, port: int, prepare: Any) -> Iterator[Peer]:
        with ExitStack() as stack:
            program = self._programs.start(name, PROXY_CORE, prepare, stack)
            peer = replace(self._through, name=name, ports=dict.fromkeys(WORKSPACES, port), program=program)
            wait_until(partial(_answers, peer), f"{name} on {port}", START_SECONDS, program)
            yield peer

    def _start_sshd(self, name: str, *options: str) -> int:
        command = [sys.executable, "-m", "tests.bench.ssh_workspace", *options]
        program = self._programs.start(f"sshd-{name}", LOAD_CORE, lambda _: command)
        wait_until(lambda: program.output.read_bytes().endswith(b"\n"), f"sshd of {name}", START_SECONDS, program)
        return int(program.output.read_text())

    def _environment(self) -> dict[str, str]:
        script = self._programs.folder / "askpass"
        script.write_text(f"#!/bin/sh\ncat {self.token_file}\n")
        script.chmod(0o700)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._programs.folder),
            "SSH_ASKPASS": str(script),
            "SSH_ASKPASS_REQUIRE": "force",
        }

    def _settings(self, folder: Path, port: int) -> dict[str, Any]:
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "host_key")
        many = dict.fromkeys(("max_startups_per_ip", "max_connections_per_ip", "max_sessions_per_user"), 0)
        return {
            "auth": {
                **self._gitlab.settings,
                "redirect_uri": "http://ws.example.dev/auth/callback",
                "signing_key": "x" * 32,
                "protocol": "http",
            },
            "http": {"address": "127.0.0.1", "port": free_port()},
            "ssh": {
                "address": "127.0.0.1",
                "port": port,
                "host_key_files": [str(folder / "host_key")],
                "max_sessions_per_workspace": 0,
                **many,
            },
            "admin": {"address": "127.0.0.1", "port": free_port()},
            "routing": {"file": str(folder / "routes.yaml")},
        }

    def _routes(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "id": number,
                "uid": f"uid-{name}",
                "host_template": "{{.port}}-" + f"{name}.ws.example.dev",
                "address": "127.0.0.1",
                "state": "running",
                "ports": [{"name": "ssh-server", "port": self.direct.ports[name], "target_port": 60022}],
            }
            for name, number in WORKSPACES.items()
        ]


def _answers(peer: Peer) -> bool:
    try:
        peer.run("bench", "true")
    except RuntimeError:
        return False
    return True
