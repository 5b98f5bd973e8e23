"""The command line: `python -m gateway serve | check | ports | ssh-config | demo`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

import uvloop

from config.load import SettingsError, environment, load_settings, settings_help
from config.settings import Settings
from gateway.check.command import run_check_command
from gateway.extras import ExtraMissing
from gateway.http.tls import TlsUnusable
from gateway.listening import bind_listeners
from gateway.log import Log, log_to
from gateway.ports_command import run_ports
from gateway.serving import serve
from gateway.ssh.authorities import AuthorityUnreadable
from gateway.ssh.host_keys import HostKeyUnreadable
from gateway.ssh.selftest import IncompatibleAsyncssh
from gateway.ssh_config_command import run_ssh_config
from gateway.workers import Inheritance, Supervisor, WorkerFailed, inherit
from routing.cluster_api import ClusterNotFound
from routing.file import RouteFileError

_FAULTS = (
    ExtraMissing,
    SettingsError,
    RouteFileError,
    ClusterNotFound,
    HostKeyUnreadable,
    AuthorityUnreadable,
    IncompatibleAsyncssh,
    TlsUnusable,
    WorkerFailed,
)
"""What an operator can mend; anything else is a bug and shows its traceback."""

USAGE = """\
usage: python -m gateway serve --config FILE [--SETTING VALUE ...]
       python -m gateway check --config FILE [--workspace NAME] [--json] [--SETTING VALUE ...]
       python -m gateway ports list | set WORKSPACE PORT private|internal|public
       python -m gateway ssh-config [WORKSPACE ...]
       python -m gateway demo [--check [--json]] [--http-port N] [--ssh-port N] [--admin-port N]

  serve   run the gateway; `serve --help` lists every setting with its flag, variable and default
  check   look whether all of it works, from GitLab to a workspace's ports, and say what to do; `check --help`
  ports   list the ports of your workspaces, or change who may open one; `ports --help`
  ssh-config  print what ~/.ssh/config needs for your workspaces
  demo    run the gateway on embedded stand-ins, for this machine alone; `--check` drives it as its users would
"""


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit status."""
    command, *rest = argv or ["help"]
    match command:
        case "serve":
            return _serve(rest)
        case "worker":
            return _work(*rest)
        case "check":
            return run_check_command(rest)
        case "demo":
            return _demo(rest)
        case "ports":
            return run_ports(rest, environment())
        case "ssh-config":
            return run_ssh_config(rest, environment())
        case "help" | "-h" | "--help":
            print(USAGE, end="")
            return 0
        case _:
            print(USAGE, end="", file=sys.stderr)
            return 2


def _serve(argv: Sequence[str]) -> int:
    if {"-h", "--help", "-help"} & set(argv):
        print(settings_help(), end="")
        return 0
    try:
        settings = load_settings(argv)
        with log_to(sys.stdout, settings.log_level) as log:
            if settings.workers > 1:
                uvloop.run(Supervisor(settings, argv, log).run())
            else:
                with bind_listeners(settings) as listeners:
                    uvloop.run(serve(settings, log, listeners, lambda: log.info("gateway.open")))
    except _FAULTS as exc:
        return _give_up(str(exc))
    except OSError as exc:
        return _give_up(exc.strerror or str(exc))
    return 0


def _work(admin: str, link: str, http: str, ssh: str, *argv: str) -> int:
    """One of several workers; only a `Supervisor` starts it."""
    try:
        settings, inherited = load_settings(argv), inherit(admin, link, http, ssh)
        with log_to(sys.stdout, settings.log_level) as log:
            uvloop.run(_serve_for_parent(settings, log, inherited))
    except _FAULTS as exc:
        return _give_up(str(exc))
    return 0


async def _serve_for_parent(settings: Settings, log: Log, inherited: Inheritance) -> None:
    inherited.follow_parent()
    await serve(settings, log, inherited.listeners, inherited.say_ready)


def _demo(argv: Sequence[str]) -> int:
    # Imported here: the demo needs packages (the `demo` extra) that a gateway in service does without.
    try:
        from gateway.demo.run import check_demo, run_demo  # noqa: PLC0415 - see above
        from gateway.demo.world import Ports  # noqa: PLC0415 - see above
    except ModuleNotFoundError as exc:
        return _give_up(f"the demo needs the package {exc.name}: pip install '.[demo]' in the folder of its source")
    parser = argparse.ArgumentParser(prog="python -m gateway demo", allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="on free ports: one line per step, status 0 if all held")
    parser.add_argument("--json", action="store_true", help="the steps of --check as JSON")
    for door, port in asdict(Ports()).items():
        parser.add_argument(f"--{door}-port", type=int, default=port, help=f"default {port}")
    options = parser.parse_args(argv)
    try:
        if options.check:
            return 0 if uvloop.run(check_demo(as_json=options.json)) else 1
        uvloop.run(run_demo(Ports(options.http_port, options.ssh_port, options.admin_port)))
    except OSError as exc:
        return _give_up(f"{exc.strerror or exc}; the demo takes other ports with --http-port, --ssh-port, --admin-port")
    return 0


def _give_up(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
