"""What is measured: the gateway, nginx and Caddy, each with a configuration that its operator would write.

All are reached by the same host names with the same request bytes; nginx and Caddy let everybody in, the gateway asks
for the grant in the cookie. The workspaces behind them are the same processes.
"""

import asyncio
import getpass
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from auth.cookies import Cookies
from auth.grants import Grants
from auth.model import Grant, Visibility
from auth.seal import Sealer
from auth.sessions import session_ref
from tests.bench.gitlab import START_SECONDS, USER, WORKSPACES, sign_in, start_gitlab
from tests.bench.load import PAGE_END, REAL_TIME, Target
from tests.bench.process import LOAD_CORE, PROXY_CORE, Program, Programs, wait_until

LOAD_ROUTES_SECONDS = 300  # for a route file of 100,000 routes
BIG = 1 << 30
PAGE = "x" * (65 - len(PAGE_END)) + ".\\n"
ZONE = "ws.example.dev"
SERVICES = {"pages": "3000-bench", "sink": "3001-bench", "echo": "3002-bench", "other": "3000-other"}
"""Two workspaces: `bench` with three web servers, and its neighbour `other`."""
GATEWAYS = 3  # the one that all lines use, a fresh one for the tunnels, and one with many routes
GRANT_SECONDS = 86400
_SIGNING_KEY = secrets.token_hex(32)

NGINX = """\
daemon off; worker_processes 1; worker_rlimit_nofile {files}; user {user}; pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections {files}; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type text/plain; sendfile on; tcp_nopush on; keepalive_requests 100000000;
{http}
}}
"""
NGINX_WORKSPACE = """\
  access_log off; open_file_cache max=10;
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {files};
    location = / {{ return 200 "{page}"; }}
  }}
"""
# Buffering is off both ways, as it must be where server-sent events and large uploads pass; the one buffer that then
# remains is as large as a socket read of the gateway, since with its default of 4 KiB nginx would be slow at downloads.
NGINX_PROXY = """\
  access_log {folder}/access.log combined buffer=64k flush=1s;
  client_max_body_size 0; client_body_buffer_size 64k; proxy_http_version 1.1; proxy_buffering off;
  proxy_request_buffering off; proxy_buffer_size 64k; proxy_buffers 4 64k; proxy_read_timeout 1h;
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upstream_connection;
  map $http_upgrade $upstream_connection {{ default upgrade; "" ""; }}
"""
NGINX_PROXY_SITE = """\
  upstream {name} {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port}; server_name {host}; location / {{ proxy_pass http://{name}; }} }}
"""
CADDY = """\
{
  admin off
  auto_https off
  persist_config off
}
"""
CADDY_SITE = """\
http://{host}:{port} {{
  bind 127.0.0.1
  log {{
    output file {folder}/access.log {{
      roll_disabled
    }}
  }}
  reverse_proxy 127.0.0.1:{origin} {{
    transport http {{
      keepalive_idle_conns_per_host 64
    }}
  }}
}}
"""

_NOBODY = Grant("", "", "", 1, USER, session_ref(SecretStr("")), Visibility.PRIVATE, 0, 0)
"""For those who do not look at a grant: theirs is as long as any."""


@dataclass(frozen=True)
class Peer:
    """A way to the workspaces: a proxy, or none."""

    name: str
    ports: dict[str, int]
    """By service; a proxy has the same one for all."""
    visitor: Grant = field(repr=False)
    """A grant whose holder the gateway knows; those for all hosts are made after it."""
    program: Program | None = field(repr=False, default=None)

    def target(self, service: str) -> Target:
        host = f"{SERVICES[service]}.{ZONE}"
        return Target(self.ports[service], host, _cookie(host, self.visitor))

    def cpu_seconds(self) -> float:
        return self.program.cpu_seconds() if self.program else 0.0


class Site:
    """A folder with the workspaces of a measurement, and the way to start proxies in front of them."""

    def __init__(self, stack: ExitStack) -> None:
        """Start the workspaces; everything ends with the stack."""
        self._programs = Programs(stack)
        self.folder = self._programs.folder
        self.big_file = self.folder / "pages" / "big"
        self._write_pages()
        ports = {service: free_port() for service in SERVICES}
        nginx = {}
        for service in ("pages", "other"):
            listen = NGINX_WORKSPACE.format(port=ports[service], files=self.folder / "pages", page=PAGE)
            nginx[service] = self._programs.start(f"workspace-{service}", LOAD_CORE, partial(_nginx, http=listen))
        for service in ("sink", "echo"):
            command = [sys.executable, "-m", "tests.bench.origins", service, str(ports[service])]
            self._programs.start(f"workspace-{service}", LOAD_CORE, partial(_as_is, command=command))
        self.direct = Peer("direct", ports, _NOBODY)
        self._gateway_ports = [free_port() for _ in range(GATEWAYS)]
        self._gitlab = start_gitlab(self._programs, [f"{_portal(port)}/auth/callback" for port in self._gateway_ports])
        for port in ports.values():
            wait_until(partial(_is_open, port), f"workspace on {port}", START_SECONDS)
        nginx["other"].hurry(REAL_TIME)  # the workspace whose latency counts

    @contextmanager
    def gateway(self, name: str = "gateway", *, routes: int = 0) -> Iterator[Peer]:
        """The gateway, with this many routes beside those of the workspaces."""
        port = self._gateway_ports.pop()

        def prepare(folder: Path) -> list[str]:
            (folder / "routes.yaml").write_text(self._routes(routes))
            (folder / "settings.yaml").write_text(yaml.safe_dump(self._settings(folder, port)))
            return [sys.executable, *_runner(), "serve", "--config", str(folder / "settings.yaml")]

        with ExitStack() as stack:
            program = self._programs.start(name, PROXY_CORE, prepare, stack)
            seconds = LOAD_ROUTES_SECONDS if routes else START_SECONDS
            peer = Peer(name, dict.fromkeys(SERVICES, port), _NOBODY, program)
            stranger = replace(peer.target("pages"), cookie="")
            wait_until(lambda: stranger.status() > 0, f"{name} on {port}", seconds, program)
            visitor = asyncio.run(sign_in(port, ZONE, f"{SERVICES['pages']}.{ZONE}", _grants()))
            yield replace(peer, visitor=visitor)

    @contextmanager
    def nginx(self) -> Iterator[Peer]:
        """One worker, keep-alive to the workspaces, no buffering, a buffered access log."""
        port = free_port()

        def prepare(folder: Path) -> list[str]:
            sites = (
                NGINX_PROXY_SITE.format(name=service, host=f"{SERVICES[service]}.{ZONE}", port=port, origin=origin)
                for service, origin in self.direct.ports.items()
            )
            return _nginx(folder, NGINX_PROXY.format(folder=folder) + "".join(sites))

        with self._peer("nginx", port, prepare) as peer:
            yield peer

    @contextmanager
    def caddy(self) -> Iterator[Peer]:
        """GOMAXPROCS=1, its JSON access log on, everything else as it comes."""
        port = free_port()

        def prepare(folder: Path) -> list[str]:
            sites = (
                CADDY_SITE.format(host=f"{SERVICES[service]}.{ZONE}", port=port, origin=origin, folder=folder)
                for service, origin in self.direct.ports.items()
            )
            (folder / "Caddyfile").write_text(CADDY + "".join(sites))
            return [find_program("caddy"), "run", "--config", str(folder / "Caddyfile")]

        with self._peer("Caddy", port, prepare) as peer:
            yield peer

    @contextmanager
    def _peer(self, name: str, port: int, prepare: Callable[[Path], list[str]]) -> Iterator[Peer]:
        with ExitStack() as stack:
            program = self._programs.start(name, PROXY_CORE, prepare, stack)
            peer = Peer(name, dict.fromkeys(SERVICES, port), _NOBODY, program)
            wait_until(lambda: peer.target("pages").status() == 200, f"{name} on {port}", START_SECONDS, program)
            yield peer

    def _settings(self, folder: Path, port: int) -> dict[str, Any]:
        return {
            "auth": {
                **self._gitlab.settings,
                "redirect_uri": f"{_portal(port)}/auth/callback",
                "signing_key": _SIGNING_KEY,
                "protocol": "http",
            },
            # All visitors are one address and one workspace here, and neither nginx nor Caddy limits those.
            "http": {
                "address": "127.0.0.1",
                "port": port,
                "max_connections_per_ip": 0,
                "max_connections_per_workspace": 0,
            },
            "ssh": {"enabled": False},
            "admin": {"address": "127.0.0.1", "port": free_port()},
            "routing": {"file": str(folder / "routes.yaml")},
        }

    def _write_pages(self) -> None:
        self.big_file.parent.mkdir()
        (self.folder / "pages" / "64k").write_bytes(os.urandom(64 * 1024))
        block = os.urandom(1 << 20)  # real memory, so that a copy costs what it costs
        with self.big_file.open("wb") as stream:
            for _ in range(BIG // len(block)):
                stream.write(block)

    def _routes(self, count: int) -> str:
        """A route file; JSON is YAML, and an anchor for the ports of all others is read once."""
        ports = self.direct.ports
        entries = [
            _workspace("bench", [_port(3000, ports["pages"]), _port(3001, ports["sink"]), _port(3002, ports["echo"])]),
            _workspace("other", [_port(3000, ports["other"])]),
        ]
        many = [_port(number, ports["pages"]) for number in range(4000, 4010)]
        lines = [json.dumps(entry) for entry in entries]
        for number in range(count // len(many)):
            entry = _workspace(f"filler-{number}", [])
            value = f"&many {json.dumps(many)}" if number == 0 else "*many "
            lines.append(json.dumps(entry).replace("[]", value))
        return "workspaces:\n" + "".join(f"- {line}\n" for line in lines)


def find_program(name: str) -> str:
    """Where a program is: beside this Python, or on the PATH and where Debian puts servers.

    Raises:
        RuntimeError: with what to install.
    """
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        raise RuntimeError(f"{name} is missing: `make bench-http` installs it")
    return found


def free_port() -> int:
    """A port of this machine that nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _as_is(_folder: Path, command: list[str]) -> list[str]:
    return command


def _nginx(folder: Path, http: str) -> list[str]:
    text = NGINX.format(files=20000, user=getpass.getuser(), folder=folder, http=http)
    (folder / "nginx.conf").write_text(text)
    return [find_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def _runner() -> list[str]:
    """`python -m` what: the gateway, or for a profile the gateway within something else."""
    return ["-m", os.environ.get("GATEWAY_MODULE", "gateway")]


def _portal(port: int) -> str:
    return f"http://{ZONE}:{port}"


def _workspace(name: str, ports: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "id": WORKSPACES.get(name, name),
        "uid": f"uid-{name}",
        "host_template": "{{.port}}-" + f"{name}.{ZONE}",
        "address": "127.0.0.1",
        "state": "running",
        "ports": ports,
    }


def _port(number: int, port: int) -> dict[str, Any]:
    return {"port": port, "target_port": number, "visibility": "private"}


def _grants() -> Grants:
    return Grants(Sealer([SecretStr(_SIGNING_KEY)]))


def _cookie(host: str, visitor: Grant) -> str:
    """The owner's grant for a host, as a browser sends it back.

    It lives longer than the gateway's own, so that it needs no renewal while it is used.
    """
    now, name = time.time(), host.partition(".")[0].partition("-")[2]
    grant = replace(
        visitor,
        host=host,
        workspace_id=str(WORKSPACES[name]),
        workspace_uid=f"uid-{name}.{WORKSPACES[name]}",
        issued=now,
        expires=now + GRANT_SECONDS,
    )
    return f"{Cookies(secure=False).grant}={_grants().seal_grant(grant)}"
