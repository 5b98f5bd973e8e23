"""The GitLab of a measurement, and how its visitor signs in.

`python -m tests.bench.gitlab REDIRECT_URI...` serves a stand-in with one user, who owns the measured workspaces; its
first line of output says what the gateway needs to know. The gateway asks it again and again whether that user may
still be where they are, as it would ask GitLab, so a grant without a session would not do.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from auth.cookies import Cookies, values
from auth.grants import Grants
from auth.model import Grant
from gateway.demo.browser import Browser, Network
from gateway.demo.gitlab import StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from tests.bench.process import LOAD_CORE, Programs, wait_until

USER = "ada"
WORKSPACES = {"bench": 101, "other": 102}
SIGN_IN_SECONDS = 30
START_SECONDS = 30


@dataclass(frozen=True)
class Told:
    """What the gateway and its visitors need to know of a GitLab."""

    settings: dict[str, str] = field(repr=False)
    """For the section `auth`."""
    token: str = field(repr=False)
    """Of the owner of the workspaces; SSH takes it as a password."""


async def serve(redirect_uris: list[str]) -> None:
    """Serve until the end of the process."""
    state = GitLabState()
    owner = state.add_user(USER)
    for name, number in WORKSPACES.items():
        state.add_workspace(owner, name, id=number)
    gitlab = StandInGitLab(state)
    client_id, client_secret = gitlab.register_application(*redirect_uris)
    async with gitlab.serve() as url:
        settings = {"host": url, "client_id": client_id, "client_secret": client_secret}
        told = {"settings": settings, "token": state.add_token(owner, ("read_api",))}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def start_gitlab(programs: Programs, redirect_uris: Sequence[str]) -> Told:
    """The stand-in as a program beside the load.

    Raises:
        RuntimeError: if it does not start.
    """
    program = programs.start(
        "gitlab", LOAD_CORE, lambda _: [sys.executable, "-m", "tests.bench.gitlab", *redirect_uris]
    )
    wait_until(lambda: program.output.read_bytes().endswith(b"}\n"), "GitLab", START_SECONDS, program)
    return Told(**json.loads(program.output.read_text()))


async def sign_in(port: int, zone: str, host: str, grants: Grants) -> Grant:
    """Visit a workspace's host through the gateway on this port, as a browser does; the grant that this led to.

    Raises:
        RuntimeError: if it led to none.
    """
    network = Network(("127.0.0.1", port), zone, zone)
    async with asyncio.timeout(SIGN_IN_SECONDS), Browser(network) as browser:
        url = f"http://{host}:{port}/"
        page = await browser.visit(url, USER)
        cookies = browser.cookie_header(url).get("Cookie", "").encode()
    found = [grant for value in values(cookies, Cookies(secure=False).grant) if (grant := grants.get_grant(value))]
    if page.status != 200 or not found:
        raise RuntimeError(f"the sign-in ended with {page}")
    return found[0]


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
