"""Helm with the chart, for all tests of it."""

from collections.abc import Iterator

import pytest

from tests.helm.engine import Helm, open_helm


@pytest.fixture(scope="session")
def helm() -> Iterator[Helm]:
    with open_helm() as opened:
        yield opened
