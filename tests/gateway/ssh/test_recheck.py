"""Who loses the right to a workspace loses the session, and nobody loses it to a GitLab that is down."""

import asyncio
import io
from collections.abc import Iterator

import pytest

from auth.model import Denied, GitLabUnavailable, Granted, Unavailable, User, Verdict
from gateway.demo.sshd import WorkspaceSshd
from gateway.ssh.recheck import Entry, Recheck
from gateway.telemetry.log import open_log
from routing.model import Endpoint
from tests.gateway.ssh.conftest import LOOPBACK, PATIENCE, Bench

YES = Granted(User(1, "ada"))
NO = Denied("no longer the owner")
REFUSED = Denied("401", is_token_refused=True)
DOWN = Unavailable("timeout")


class Answers:
    """Gives one answer after the other, then refuses to be asked again."""

    def __init__(self, *answers: Verdict | Exception) -> None:
        self._answers: Iterator[Verdict | Exception] = iter(answers)
        self.ran_out = asyncio.Event()

    async def ask(self) -> Verdict:
        answer = next(self._answers, None)
        if answer is None:
            self.ran_out.set()
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


async def wait_withdrawn(answers: Answers) -> None:
    await Recheck(0.001, open_log("error", io.StringIO())).wait_withdrawn(Entry(answers.ask))


@pytest.mark.parametrize(
    "answers",
    [(NO, NO), (REFUSED, REFUSED), (YES, NO, REFUSED), (NO, YES, NO, NO), (NO, DOWN, NO), (NO, RuntimeError(), NO)],
    ids=["denied", "token refused", "later", "after a yes again", "around a failure", "around a fault"],
)
async def test_two_refusals_with_no_yes_between_them_end_it(answers: tuple[Verdict | Exception, ...]) -> None:
    async with asyncio.timeout(PATIENCE):
        await wait_withdrawn(Answers(*answers))


@pytest.mark.parametrize(
    "answers",
    [(NO,), (NO, YES, NO, YES, NO), (DOWN, DOWN, DOWN), (GitLabUnavailable("502"), NO), (RuntimeError(),) * 3],
    ids=["one refusal", "refusals apart", "down", "down and one refusal", "faults"],
)
async def test_nothing_less_ends_it(answers: tuple[Verdict | Exception, ...]) -> None:
    asked = Answers(*answers)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        waiting = group.create_task(wait_withdrawn(asked))
        await asked.ran_out.wait()
        assert not waiting.done()
        waiting.cancel()


async def test_a_session_ends_with_a_word_when_the_right_to_it_is_lost(bench: Bench, sshd: WorkspaceSshd) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), recheck_interval=0.05)
    async with gateway.listen() as ssh:
        gateway.access.answer = NO
        async with asyncio.timeout(PATIENCE):
            _, err = await ssh.communicate()

    assert b":14: Access to the workspace was withdrawn" in err


async def test_a_session_goes_on_as_long_as_gitlab_says_yes_and_is_not_asked_about_after_it(
    bench: Bench, sshd: WorkspaceSshd
) -> None:
    gateway = await bench.open_door(Endpoint(LOOPBACK, sshd.port), recheck_interval=0.05)
    done = await gateway.ssh("sleep 0.5; echo still here")
    await gateway.door.drain(PATIENCE)

    assert done.out == b"still here\n"
    assert len(gateway.access.asked) > 2
    assert gateway.door._watches == {}
