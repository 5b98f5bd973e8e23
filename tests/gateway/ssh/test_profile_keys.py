"""The whole way of a key: from a profile of the stand-in GitLab, by its owner's sign-in, into the workspace."""

from typing import Any

import asyncssh
import pytest

from gateway.demo.gitlab import Endpoint
from gateway.demo.gitlab_model import GitLabUser
from tests.gateway.conftest import Live


@pytest.fixture
def key(live: Live) -> asyncssh.SSHKey:
    made = asyncssh.generate_private_key("ssh-ed25519")
    live.state.add_key(ada(live), made.export_public_key().decode())
    return made


def ada(live: Live) -> GitLabUser:
    user = live.state.get_user("ada")
    assert user is not None
    return user


async def log_in(live: Live, key: asyncssh.SSHKey, name: str = "") -> str:
    """What `whoever` prints in the workspace. Raises asyncssh.PermissionDenied."""
    options: dict[str, Any] = {"config": None, "known_hosts": None, "agent_path": None, "gss_host": None}
    visit = live.world.visit
    async with asyncssh.connect(
        visit.ssh_host, visit.ssh_port, username=name or visit.running, client_keys=[key], password=None, **options
    ) as client:
        return str((await client.run("echo in")).stdout)


async def test_a_key_opens_once_its_owner_has_signed_in(live: Live, key: asyncssh.SSHKey) -> None:
    """A stranger's visit teaches nothing; opening a port of one's own, or the portal, does."""
    with pytest.raises(asyncssh.PermissionDenied):
        await log_in(live, key)
    forget(live)
    async with live.person("ada", at=portal(live)):
        assert await log_in(live, key) == "in\n"

    assert [line["auth_method"] for line in live.logged("ssh.login")] == ["publickey"]


def portal(live: Live) -> str:
    return f"{live.world.visit.portal_url}/"


def forget(live: Live) -> None:
    """What the passing of a minute does."""
    ssh = live.world.gateway.ssh
    assert ssh is not None
    assert ssh._keys is not None
    for number in live.state.workspaces:
        ssh._keys._known.forget(str(number))


async def test_visiting_a_port_teaches_as_well(live: Live, key: asyncssh.SSHKey) -> None:
    """Whoever is let in as the owner is the owner for SSH too."""
    async with live.person("ada", at=live.url("/", port=60001)):
        assert await log_in(live, key) == "in\n"


async def test_many_logins_ask_gitlab_once(live: Live, key: asyncssh.SSHKey) -> None:
    """An editor opens five connections at a time."""
    async with live.person("ada", at=portal(live)):
        for _ in range(5):
            await log_in(live, key)

    assert live.world.gitlab.calls[Endpoint.USER_KEYS] == 1


async def test_one_persons_key_opens_nobody_elses_workspace(live: Live, key: asyncssh.SSHKey) -> None:
    """Both have signed in."""
    async with live.person("ada", at=portal(live)), live.person("grace", at=portal(live)):
        with pytest.raises(asyncssh.PermissionDenied):
            await log_in(live, key, live.world.visit.others)


async def test_a_sign_out_shuts_the_door_to_keys(live: Live, key: asyncssh.SSHKey) -> None:
    """Within the minute that a yes is remembered; here it is forgotten at once."""
    async with live.person("ada", at=portal(live)) as browser:
        await log_in(live, key)
        await live.sign_out(browser)
        forget(live)
        with pytest.raises(asyncssh.PermissionDenied):
            await log_in(live, key)
