"""What happens with 200 descriptors and more clients than that: those who are in go on, probes are answered."""

import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from tests.chaos.conftest import Stage, assert_nobody_gets_in, assert_people_who_are_in_go_on, open_stage, wait_for
from tests.e2e.conftest import Setup

DESCRIPTORS = 200
CLIENTS = 400


@pytest.fixture
async def narrow(setup: Setup) -> AsyncIterator[Stage]:
    """A gateway that may have 200 descriptors."""
    setup.under = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
    setup.settings["http"]["max_connections_per_ip"] = 0
    setup.settings["ssh"] |= {"max_startups_per_ip": 0, "startups_begin": 1000, "startups_full": 1000}
    async with open_stage(setup) as stage:
        yield stage


def join(stack: ExitStack, port: int) -> None:
    """A client that says nothing; the kernel connects it, whether the gateway has room for it or not."""
    stack.enter_context(socket.create_connection(("127.0.0.1", port)))


async def test_when_descriptors_run_out_whoever_is_in_goes_on(narrow: Stage) -> None:
    """Over both doors at once; when the crowd has left, everybody is served again."""
    async with narrow.person("ada") as ada, ada.open_socket(narrow.url(path="/ws")) as tunnel:
        ssh = await narrow.ssh(narrow.token(narrow.ada))
        with ExitStack() as crowd:
            for _ in range(CLIENTS):
                join(crowd, narrow.setup.ports.http)
                join(crowd, narrow.setup.ports.ssh)
            await tunnel.send_str("still here?")
            assert (await tunnel.receive(timeout=20)).data == "still here?"
            assert (await ssh.run("echo here", check=True)).stdout == "here\n"
            assert (await narrow.admin("/healthz"))[0] == 200
            assert (await narrow.admin("/readyz"))[0] == 200

        async def is_served() -> bool:
            try:
                return (await ada.navigate(narrow.url())).status == 200
            except OSError:
                return False

        await wait_for(is_served, "room for those who come")
        await assert_people_who_are_in_go_on(ada, narrow, tunnel, ssh)
        await assert_nobody_gets_in(narrow)
        ssh.close()
