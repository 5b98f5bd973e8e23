"""The command line: `python -m gateway serve | demo`."""

import sys
from collections.abc import Sequence

import uvloop

from auth.model import GitLabFault
from config.load import SettingsError, load_settings, settings_help
from gateway.app import serve
from gateway.ssh.host_keys import HostKeyUnreadable
from gateway.ssh.internals import IncompatibleAsyncssh
from gateway.telemetry import open_log
from routing.file import RouteFileError

USAGE = """\
usage: python -m gateway serve --config FILE [--SETTING VALUE ...]
       python -m gateway demo [--check [--json]]

  serve   run the gateway; `serve --help` lists every setting with its flag, variable and default
  demo    run the gateway on embedded stand-ins, for this machine alone
          --check   on free ports: drive it as its users would, one line per step, status 0 if all held
          --json    the steps of --check as JSON
"""


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit status."""
    command, *rest = argv or ["help"]
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command == "serve":
        return _serve(rest)
    if command == "demo" and rest in ([], ["--check"], ["--check", "--json"], ["--json", "--check"]):
        return _demo(rest)
    print(USAGE, end="", file=sys.stderr)
    return 2


def _serve(argv: Sequence[str]) -> int:
    if {"-h", "--help", "-help"} & set(argv):
        print(settings_help(), end="")
        return 0
    try:
        settings = load_settings(argv)
        uvloop.run(serve(settings, open_log(settings.log_level)))
    except (SettingsError, RouteFileError, HostKeyUnreadable, IncompatibleAsyncssh, GitLabFault, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _demo(argv: Sequence[str]) -> int:
    # Imported here: the demo needs packages (the `demo` extra) that a gateway in service does without.
    try:
        from gateway.demo.run import check_demo, run_demo  # noqa: PLC0415 - see above
    except ModuleNotFoundError as exc:
        print(f"the demo needs the package {exc.name}: pip install 'workspaces-gateway[demo]'", file=sys.stderr)
        return 1
    try:
        if "--check" in argv:
            return 0 if uvloop.run(check_demo(as_json="--json" in argv)) else 1
        uvloop.run(run_demo())
    except OSError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
