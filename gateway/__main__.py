"""The command line: `python -m gateway serve | demo`."""

import asyncio
import os
import sys
from collections.abc import Sequence

import uvloop

from config.load import SettingsError, load_settings, usage
from gateway.app import serve
from gateway.telemetry import open_log
from routing.file import RouteFileError

USAGE = """\
usage: python -m gateway serve --config FILE [--<setting> VALUE ...]
       python -m gateway demo [--check [--json]]

  serve   run the gateway; `serve --help` lists every setting with its flag, variable and default
  demo    run the gateway on embedded stand-ins, on this machine alone
          --check   on free ports: drive it as its users would, print one line per step, exit 0 if all held
          --json    print the steps of --check as JSON
"""


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit status."""
    command, *rest = argv or ["--help"]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command == "serve":
        return run_serve(rest)
    if command == "demo" and set(rest) <= {"--check", "--json"}:
        return run_demo(check="--check" in rest, as_json="--json" in rest)
    print(USAGE, end="", file=sys.stderr)
    return 2
