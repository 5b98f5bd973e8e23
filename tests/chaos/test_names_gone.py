"""What happens when GitLab's name resolves no more: the same as when GitLab is away, and afterwards all is as before.

The gateway runs in a mount namespace of its own, in which the machine's /etc/hosts and resolv.conf are the test's.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from tests.chaos.conftest import Stage, assert_nobody_gets_in, assert_people_who_are_in_go_on, open_stage, wait_for
from tests.e2e.conftest import Setup

NAME = "gitlab.chaos.test"
_MOUNT = 'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"'
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace takes root")


@pytest.fixture
async def named(setup: Setup, tmp_path: Path) -> AsyncIterator[tuple[Stage, Path]]:
    """A gateway that finds GitLab by its name, and the file that says where that is."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")  # nobody is there
    setup.under = ["unshare", "--mount", "sh", "-c", _MOUNT, str(tmp_path)]
    async with open_stage(setup, hostname=NAME) as stage:
        yield stage, hosts


async def test_without_names_whoever_is_in_goes_on_and_nobody_else_gets_in(named: tuple[Stage, Path]) -> None:
    """What is remembered of the name is forgotten within seconds; connections that are kept go on until they end."""
    stage, hosts = named
    ssh = await stage.ssh(stage.token(stage.ada))
    async with stage.person("ada") as ada, ada.open_socket(stage.url(path="/ws")) as socket:
        with hosts.open("r+") as file:  # in place: the bind mount follows the file, not the name
            file.truncate()
            file.write("127.0.0.1 localhost\n")

        async def is_gone() -> bool:
            stage.link.cut()  # or the connections that are kept would do without the name
            stage.link.mend()
            return await stage.program(stage.token(stage.ada)) == 503

        await wait_for(is_gone, "the end of the name")
        await assert_people_who_are_in_go_on(ada, stage, socket, ssh)
        with pytest.raises(asyncssh.DisconnectError, match="GitLab is not reachable, try again"):
            await stage.ssh(stage.token(stage.ada))
        await assert_nobody_gets_in(stage)
        with hosts.open("r+") as file:
            file.truncate()
            file.write(f"127.0.0.1 localhost {NAME}\n")

        async def is_back() -> bool:
            return await stage.program(stage.token(stage.ada)) == 200

        await wait_for(is_back, "the way in")
    ssh.close()
