"""The self-test carries a session where asyncssh fits, and says what is missing where it does not."""

import asyncssh
import pytest

from gateway.ssh.internals.leg import Leg
from gateway.ssh.selftest import IncompatibleAsyncssh, check_asyncssh


async def test_the_asyncssh_that_is_installed_fits() -> None:
    await check_asyncssh()


async def test_an_old_asyncssh_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncssh, "__version__", "2.24.0")

    with pytest.raises(IncompatibleAsyncssh, match=r"2\.24\.0 is too old"):
        await check_asyncssh()


async def test_an_asyncssh_that_asks_for_other_handlers_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = {kind: handler for kind, handler in Leg._packet_handlers.items() if kind != 94}
    monkeypatch.setattr(Leg, "_packet_handlers", handlers)  # as if data packets no longer came through there

    with pytest.raises(IncompatibleAsyncssh, match="does not carry a session intact"):
        await check_asyncssh()
