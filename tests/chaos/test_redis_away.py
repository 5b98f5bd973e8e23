"""What happens when the Redis with the sessions is killed or stopped, and comes back: two workers, real programs.

What was opened goes on for as long as its grant; nobody signs in, and a program's token is no matter of Redis at all.
"""

import signal
from collections.abc import AsyncIterator

import pytest

from tests.chaos.conftest import Stage, assert_nobody_gets_in, assert_people_who_are_in_go_on, open_stage, wait_for
from tests.e2e.conftest import Setup
from tests.redis_server import RedisServer, run_redis


@pytest.fixture
async def shared(setup: Setup) -> AsyncIterator[tuple[Stage, RedisServer]]:
    """Two workers on one Redis."""
    async with run_redis() as redis:
        setup.settings["sessions"] = {"store": redis.url}
        setup.settings["workers"] = 2
        async with open_stage(setup) as stage:
            yield stage, redis


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_without_redis_whoever_is_in_goes_on_and_nobody_signs_in(
    shared: tuple[Stage, RedisServer], number: signal.Signals
) -> None:
    """503 for sign-ins; afterwards people sign in again, and sign-outs are heard of."""
    stage, redis = shared
    async with stage.person("ada") as ada, ada.open_socket(stage.url(path="/ws")) as socket:
        ssh = await stage.ssh(stage.token(stage.ada))
        assert redis.process is not None
        if number is signal.SIGKILL:
            await redis.stop()
        else:
            redis.process.send_signal(signal.SIGSTOP)
        await assert_people_who_are_in_go_on(ada, stage, socket, ssh)
        async with stage.person() as grace:
            page = await grace.visit(stage.url(), "grace")
            assert page.status == 503
            assert int(page.headers["Retry-After"]) > 0
        assert await stage.program(stage.token(stage.ada)) == 200
        await assert_nobody_gets_in(stage)
        if number is signal.SIGKILL:
            await redis.start()
        else:
            redis.process.send_signal(signal.SIGCONT)

        async def is_back() -> bool:
            async with stage.person() as browser:
                return (await browser.visit(stage.url(), "ada")).status == 200

        await wait_for(is_back, "the way in")
        ssh.close()
