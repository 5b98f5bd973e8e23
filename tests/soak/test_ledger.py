"""A fault is told from an end that had to come."""

import asyncio

import asyncssh
import pytest

from gateway.demo.world import EDITOR_PORT
from tests.soak import http_load, ledger
from tests.soak.content import Corrupt
from tests.soak.http_load import Place
from tests.soak.ledger import Ended, Lease, Ledger, Outlived
from tests.soak.person import open_person
from tests.soak.stage import open_stage


@pytest.mark.parametrize(
    "raised",
    [Ended("closed"), ConnectionResetError(), asyncssh.ConnectionLost(""), ExceptionGroup("", [Ended("closed")])],
)
def test_an_end_is_a_fault_unless_a_lease_was_lost(raised: Exception) -> None:
    """Whatever the client calls it."""
    book, lost = Ledger(), Lease()
    lost.lose()
    for leases in ((), (Lease(),), (Lease(), lost)):
        with book.record("work", *leases):
            raise raised

    kind = book.kind("work")
    assert (len(book.faults), kind.faults, kind.expected, kind.open) == (2, 2, 1, 0)


@pytest.mark.parametrize("raised", [Corrupt("byte 1 is wrong"), Outlived("still open"), ValueError("the load's own")])
def test_some_things_are_faults_whatever_was_lost(raised: Exception) -> None:
    """A wrong byte above all."""
    book, lost = Ledger(), Lease()
    lost.lose()
    with book.record("work", lost):
        raise raised

    assert len(book.faults) == 1
    assert str(raised) in book.table()


async def test_what_goes_on_without_its_lease_has_outlived_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the loss on it has some seconds."""
    monkeypatch.setattr(ledger, "OUTLIVE_SECONDS", 0.01)
    lease = Lease()

    async def go_on() -> None:
        async with lease.limit():
            lease.lose()
            await asyncio.Event().wait()

    with pytest.raises(Outlived):
        await go_on()
    with pytest.raises(Outlived):
        await go_on()  # and it is lost already when this begins


async def test_a_lease_is_free_when_the_last_holder_left() -> None:
    """Whoever takes it away waits for them before it is given back."""
    lease = Lease()
    await lease.wait_free()
    with lease.hold():
        with lease.hold():
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lease.wait_free()
    await lease.wait_free()


async def test_a_time_out_of_its_own_is_no_outliving() -> None:
    """It may be the expected end or a fault, as any other."""
    with pytest.raises(TimeoutError):
        async with Lease().limit(), asyncio.timeout(0):
            await asyncio.Event().wait()


async def test_streams_that_end_for_no_reason_are_found_at_the_real_gateway() -> None:
    """A workspace vanishes that nobody said would."""
    names = ("held events", "held websocket")
    async with open_stage(seed=0) as stage, open_person(stage, "ada") as ada, asyncio.TaskGroup() as group:
        apple = stage.workspaces[0]
        await ada.enter(stage.address(apple, EDITOR_PORT))
        group.create_task(http_load.stay(Place(stage, ada, apple, EDITOR_PORT), Lease()))
        while not all(stage.ledger.kind(name).received for name in names):  # noqa: ASYNC110 - the load tells nobody
            await asyncio.sleep(0.05)
        stage.remove(apple)

    assert [stage.ledger.kind(name).faults for name in names] == [1, 1]
