"""The `ports` command: what is open in my workspaces, and how open it is, through the portal's API."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from auth.visibility import LEVELS
from gateway.commands.portal_calls import WHERE_FROM, PortalCalls, Refused, add_portal_option, portal_of

USAGE = f"""\
%(prog)s list
       %(prog)s set WORKSPACE PORT private|internal|public

{WHERE_FROM}"""


def run_ports(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one of the two; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway ports", usage=USAGE, allow_abbrev=False)
    add_portal_option(parser, environ)
    commands = parser.add_subparsers(dest="command", required=True, prog=parser.prog, metavar="list | set")
    commands.add_parser("list", help="my workspaces, their ports, and who may open them")
    change = commands.add_parser("set", help="change who may open a port")
    change.add_argument("workspace")
    change.add_argument("port", type=int)
    change.add_argument("visibility", choices=tuple(LEVELS))
    options = parser.parse_args(argv)
    portal = portal_of(parser, options, environ)
    try:
        for line in asyncio.run(_run(options, portal)):
            sys.stdout.write(f"{line}\n")
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


async def _run(options: argparse.Namespace, portal: PortalCalls) -> list[str]:
    if options.command == "list":
        return _table(await portal.workspaces())
    path = f"/api/v1/workspaces/{quote(options.workspace, safe='')}/ports/{options.port}"
    told = await portal.ask("PUT", path, {"visibility": options.visibility})
    return [f"port {told['port']} of {told['workspace']} is {told['visibility']}"]


def _table(workspaces: Sequence[dict[str, Any]]) -> list[str]:
    rows = [
        (workspace["name"], str(port["port"]), port["name"], port["visibility"], port["url"])
        for workspace in workspaces
        for port in workspace["ports"]
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows]
