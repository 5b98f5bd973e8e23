"""The `ssh-config` command: a block for ~/.ssh/config for each of my workspaces, through the portal's API."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

from gateway.commands.portal_calls import WHERE_FROM, Refused, add_portal_option, portal_of

USAGE = f"""\
%(prog)s [WORKSPACE ...]

Prints a block for ~/.ssh/config for each of your workspaces, or for those that are named. A file that is included from
there can be written anew at any time:

  %(prog)s > ~/.ssh/workspaces        and in ~/.ssh/config: Include workspaces

{WHERE_FROM}"""


def run_ssh_config(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the blocks; status 1 where the portal refuses or a named workspace cannot be reached by SSH."""
    parser = argparse.ArgumentParser(prog="python -m gateway ssh-config", usage=USAGE, allow_abbrev=False)
    add_portal_option(parser, environ)
    parser.add_argument("workspaces", nargs="*", metavar="WORKSPACE")
    options = parser.parse_args(argv)
    portal = portal_of(parser, options, environ)
    try:
        told = asyncio.run(portal.workspaces())
    except Refused as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    blocks = {workspace["name"]: workspace["ssh"]["config"] for workspace in told if "ssh" in workspace}
    wanted = options.workspaces or list(blocks)
    sys.stdout.write("\n".join(blocks[name] for name in wanted if name in blocks))
    missing = [name for name in wanted if name not in blocks]
    for name in missing:
        sys.stderr.write(f"{name} is none of your workspaces that have an sshd\n")
    return 1 if missing else 0
