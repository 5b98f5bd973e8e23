"""Debian's haproxy and nginx before two gateways, as an operator would set them up."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.world import LOOPBACK, Ports

PATIENCE = 30  # seconds, for what should take one at most

_HAPROXY = """\
global
  log stderr format raw local0
  stats socket {folder}/stats.sock level user
defaults
  timeout connect 2s
  timeout client 1m
  timeout server 1m
  timeout tunnel 1h
  retries 3
  option redispatch 1
  option httpchk GET /readyz
  default-server check inter 200ms fall 2 rise 1
frontend browsers
  mode http
  bind 127.0.0.1:{front.http}
  default_backend doors
backend doors
  mode http
  option forwardfor
  balance roundrobin
{doors}
frontend terminals
  mode tcp
  bind 127.0.0.1:{front.ssh}
  default_backend ssh_doors
backend ssh_doors
  mode tcp
  balance roundrobin
{ssh_doors}
"""

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  upstream doors {{
{doors}
    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{front.http};
    location / {{
      proxy_pass http://doors;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_request_buffering off;
      proxy_connect_timeout 2s;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Balancer:
    """One that runs."""

    front: Ports
    folder: Path
    has_checks: bool
    """Whether it asks for readiness; else it learns by those whom it sends."""

    async def wait_up(self) -> None:
        """Until it takes all gateways for ready."""
        if not self.has_checks:
            return
        async with asyncio.timeout(PATIENCE):
            while not all(state.startswith("UP") for state in await self._states()):  # noqa: ASYNC110 - it has to be asked
                await asyncio.sleep(0.1)

    async def _states(self) -> list[str]:
        reader, writer = await asyncio.open_unix_connection(str(self.folder / "stats.sock"))
        writer.write(b"show stat\n")
        names, *rows = [line.split(",") for line in (await reader.read()).decode().lstrip("# ").splitlines() if line]
        writer.close()
        told = [dict(zip(names, row, strict=False)) for row in rows]
        return [row["status"] for row in told if row["svname"] not in ("FRONTEND", "BACKEND")]


@asynccontextmanager
async def run_haproxy(front: Ports, gateways: Sequence[Ports], folder: Path) -> AsyncIterator[Balancer]:
    """It asks the admin port of each gateway for readiness, five times a second."""
    doors, ssh_doors = (
        "\n".join(
            f"  server g{number} 127.0.0.1:{getattr(ports, kind)} port {ports.admin}"
            for number, ports in enumerate(gateways)
        )
        for kind in ("http", "ssh")
    )
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(front=front, folder=folder, doors=doors, ssh_doors=ssh_doors))
    async with _running("/usr/sbin/haproxy", "-db", "-f", str(config), port=front.http):
        yield Balancer(front, folder, has_checks=True)


@asynccontextmanager
async def run_nginx(front: Ports, gateways: Sequence[Ports], folder: Path) -> AsyncIterator[Balancer]:
    """It has no checks of its own: where it cannot connect, it asks the next."""
    doors = "\n".join(f"    server 127.0.0.1:{ports.http} max_fails=1 fail_timeout=1s;" for ports in gateways)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(front=front, folder=folder, doors=doors))
    async with _running("/usr/sbin/nginx", "-c", str(config), port=front.http):
        yield Balancer(front, folder, has_checks=False)


@asynccontextmanager
async def _running(*command: str, port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(PATIENCE):
            while not _listens(port):  # noqa: ASYNC110 - it says nothing when it is ready
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((LOOPBACK, port)) == 0
