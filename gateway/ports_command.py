"""The `ports` command: what is open in my workspaces, and how open it is, through the portal's API.

The GitLab token comes from the environment or is asked for, and never from an argument, which everybody on a machine
can read.
"""

import argparse
import asyncio
import getpass
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

TOKEN_VARIABLE = "WORKSPACES_TOKEN"  # noqa: S105 - the name of the variable, not a token
PORTAL_VARIABLE = "WORKSPACES_PORTAL"
_SECONDS = 30  # GitLab is asked once or twice on the way

USAGE = f"""\
%(prog)s list
       %(prog)s set WORKSPACE PORT private|internal|public

The portal is --portal or ${PORTAL_VARIABLE}, the GitLab token (scope api or read_api) ${TOKEN_VARIABLE} or typed in."""


class Refused(Exception):
    """The portal said no, or nothing that could be understood."""


def run_ports(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one of the two; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway ports", usage=USAGE, allow_abbrev=False)
    parser.add_argument(
        "--portal", default=environ.get(PORTAL_VARIABLE, ""), help="such as https://workspaces.example.dev"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="my workspaces, their ports, and who may open them")
    change = commands.add_parser("set", help="change who may open a port")
    change.add_argument("workspace")
    change.add_argument("port", type=int)
    change.add_argument("visibility", choices=("private", "internal", "public"))
    options = parser.parse_args(argv)
    if not options.portal:
        parser.error(f"which portal? say --portal or set {PORTAL_VARIABLE}")
    token = environ.get(TOKEN_VARIABLE) or getpass.getpass("GitLab token: ")
    try:
        for line in asyncio.run(_run(options, token)):
            sys.stdout.write(f"{line}\n")
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


class _Resolver(ThreadedResolver):
    """Leads names under .localhost to this machine (RFC 6761, section 6.3), which not every system does by itself."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await super().resolve("localhost" if host.endswith(".localhost") else host, port, family)


async def _run(options: argparse.Namespace, token: str) -> list[str]:
    api = f"{options.portal.rstrip('/')}/api/v1/workspaces"
    if options.command == "list":
        return _table((await _call("GET", api, token))["workspaces"])
    url = f"{api}/{quote(options.workspace, safe='')}/ports/{options.port}"
    told = await _call("PUT", url, token, {"visibility": options.visibility})
    return [f"port {told['port']} of {told['workspace']} is {told['visibility']}"]


async def _call(method: str, url: str, token: str, document: dict[str, str] | None = None) -> dict[str, Any]:
    headers = {"X-Workspaces-Token": token.strip(), "Accept": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=_Resolver()),
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                trust_env=True,
            ) as http,
            http.request(method, url, headers=headers, json=document, allow_redirects=False) as response,
        ):
            told = await response.json(content_type=None)
    except (aiohttp.ClientError, ValueError, TimeoutError) as exc:
        # Only the kind: some of these quote the request, which holds the token.
        raise Refused(f"{url} did not answer as a portal does: {type(exc).__name__}") from exc
    if response.status != 200 or not isinstance(told, dict):
        raise Refused(told.get("message", "") if isinstance(told, dict) else f"the portal answered {response.status}")
    return told


def _table(workspaces: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        (workspace["name"], str(port["port"]), port["name"], port["visibility"], port["url"])
        for workspace in workspaces
        for port in workspace["ports"]
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows]
