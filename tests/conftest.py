"""What all tests share: the event loop, and how properties are tried."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import hypothesis
import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Every test runs on the loop that the gateway runs on: asyncio's own differs in what it does with transports."""
    del config, item
    return {"uvloop": uvloop.new_event_loop}


# A property either holds or not; how long an example takes on a machine that others use says nothing about it.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")
