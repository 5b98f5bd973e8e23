"""The `demo` command: run the demo until Ctrl-C, or check it and say how it went."""

import asyncio
import signal
import sys

from gateway.demo.check import report, run_check
from gateway.demo.visit import World
from gateway.demo.world import EDITOR_PORT, SITE_PORT, OpenWorld, Ports, free_ports, open_world
from gateway.telemetry.log import log_to


async def run_demo(ports: Ports) -> None:
    """Start the demo, say what to open, and keep it running until SIGINT or SIGTERM."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    with log_to(sys.stderr, "warn") as log:
        async with open_world(ports, log) as world:
            print(describe(world), flush=True)
            await ended.wait()
            print("\nStopping.", flush=True)


async def check_demo(*, as_json: bool) -> bool:
    """Start the demo on free ports and drive it; whether every step held."""
    with log_to(sys.stderr, "error") as log:
        async with open_world(free_ports(), log) as world:
            steps = await run_check(world.visit)
    print(report(steps, as_json=as_json), flush=True)
    return all(step.ok for step in steps)


def describe(world: OpenWorld) -> str:
    """What a person needs to try the demo."""
    visit = world.visit
    owner, other = visit.users
    editor = visit.address(visit.running, EDITOR_PORT, "/?folder=/projects/demo")
    return f"""\
The demo runs on this machine alone, on embedded stand-ins. Ctrl-C ends it.

  Portal              {visit.portal_url}/
  {owner.username}'s editor        {editor}
  {owner.username}'s public port   {visit.address(visit.running, SITE_PORT, "/")}
  {other.username}'s editor      {visit.address(visit.others, EDITOR_PORT, "/")}
  {owner.username}'s stopped one   {visit.address(visit.stopped, EDITOR_PORT, "/")}
  Metrics             {visit.admin_url}/metrics

Sign in as {owner.username} or {other.username}: the stand-in GitLab asks which, and wants no password.

  ssh -p {visit.ssh_port} -o NoHostAuthenticationForLocalhost=yes {visit.running}@localhost

  The same with {visit.stopped} starts the stopped one, and waits for it.

  In the workspace is {_sshd(world)}. The password is a GitLab token:
  {_tokens(visit)}
"""


def _sshd(world: OpenWorld) -> str:
    return "OpenSSH's sshd" if world.sshd_kind == "openssh" else "a stand-in sshd"


def _tokens(visit: World) -> str:
    # These open nothing but the stand-ins of this process; printing them is the demo's purpose.
    return "\n  ".join(f"{user.username:<8}{user.token.get_secret_value()}" for user in visit.users)
