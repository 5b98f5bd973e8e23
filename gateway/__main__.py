"""The command line: `python -m gateway serve | check | top | ports | ssh-config | demo`."""

import argparse
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Any

import uvloop

from config.load import SettingsError, Sources, environment, settings_help
from config.settings import Settings
from gateway.app import Gateway
from gateway.check.command import run_check_command
from gateway.commands.ports import run_ports
from gateway.commands.ssh_config import run_ssh_config
from gateway.configuration import Configuration
from gateway.extras import ExtraMissing
from gateway.http.tls import TlsUnusable
from gateway.listening import Listeners, bind_listeners
from gateway.running import running
from gateway.serving import serve
from gateway.ssh.authorities import AuthorityUnreadable
from gateway.ssh.host_keys import HostKeyUnreadable
from gateway.ssh.selftest import IncompatibleAsyncssh
from gateway.telemetry.log import Log, log_to
from gateway.top.command import run_top
from gateway.workers.inheritance import Inheritance, inherit
from gateway.workers.link import LinkClosed
from gateway.workers.supervisor import Supervisor, WorkerFailed
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
usage: python -m gateway serve --config FILE [--secrets-dir FOLDER] [--SETTING VALUE ...]
       python -m gateway check --config FILE [--secrets-dir FOLDER] [--workspace NAME] [--json] [--SETTING VALUE ...]
       python -m gateway top [--once] [--json] [--url URL]
       python -m gateway ports list | set WORKSPACE PORT private|internal|public
       python -m gateway ssh-config [WORKSPACE ...]
       python -m gateway demo [--check [--json]] [--http-port N] [--ssh-port N] [--admin-port N]

  serve   run the gateway; `serve --help` lists every setting with its flag, variable and default
  check   look whether all of it works, from GitLab to a workspace's ports, and say what to do; `check --help`
  top     show what the gateway on this machine does now; `top --help`
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
        case "top":
            return run_top(rest, environment())
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
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something that could be reloaded
        configuration = Configuration(Sources(argv))
        with log_to(sys.stdout, configuration.settings.log_level) as log:
            configuration.say_unused(log)
            if configuration.settings.workers > 1:
                return uvloop.run(Supervisor(configuration, log).run())
            with bind_listeners(configuration.settings) as listeners:
                return uvloop.run(_serve_alone(configuration, log, listeners))
    except _FAULTS as exc:
        return _give_up(str(exc))
    except OSError as exc:
        return _give_up(exc.strerror or str(exc))


async def _serve_alone(configuration: Configuration, log: Log, listeners: Listeners) -> int:
    def follow(gateway: Gateway) -> Coroutine[Any, Any, None]:
        async def take_up(settings: Settings) -> None:
            gateway.prepare(settings)()

        return configuration.follow(take_up, gateway.metrics, log)

    return await serve(configuration.settings, log, listeners, lambda: log.info("gateway.open"), follow)


def _work(admin: str, link: str, http: str, ssh: str) -> int:
    """One of several workers; only a `Supervisor` starts it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # whoever sends it to the whole group means the parent
    try:
        inherited = inherit(admin, link, http, ssh)
        with log_to(sys.stdout, inherited.settings.log_level) as log:
            return uvloop.run(_serve_for_parent(inherited, log))
    except LinkClosed:
        return 1  # before there was anything to serve
    except _FAULTS as exc:
        return _give_up(str(exc))


async def _serve_for_parent(inherited: Inheritance, log: Log) -> int:
    async with running(inherited.follow_parent()):
        return await serve(
            inherited.settings,
            log,
            inherited.listeners,
            inherited.say_ready,
            lambda gateway: inherited.follow(gateway, log),
        )


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
        parser.add_argument(f"--{door}-port", type=_port, metavar="N", default=port, help=f"default {port}")
    options = parser.parse_args(argv)
    try:
        if options.check:
            return 0 if uvloop.run(check_demo(as_json=options.json)) else 1
        uvloop.run(run_demo(Ports(options.http_port, options.ssh_port, options.admin_port)))
    except OSError as exc:
        return _give_up(f"{exc.strerror or exc}; the demo takes other ports with --http-port, --ssh-port, --admin-port")
    return 0


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _give_up(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
