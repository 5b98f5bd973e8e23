"""The cluster that every test of this folder is tried on: the stand-in, or with `--cluster=real` a real API server."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.clusters import ClusterUnderTest, open_stand_in_cluster
from tests.kubernetes.real import RealServer, find_programs, open_real_cluster, run_real_server

_REAL_ALONE = ("test_agent.py", "test_chart.py")
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cluster", choices=("stand-in", "real"), default="stand-in", help="what the tests run against")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What only kubectl and a real API server can answer is not asked of the stand-in."""
    is_real = config.getoption("--cluster", "stand-in") == "real"
    return True if collection_path.name in _REAL_ALONE and not is_real else None


@pytest.fixture(scope="session")
def is_real(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--cluster", "stand-in") == "real")


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with run_real_server(find_programs(), tmp_path_factory.mktemp("cluster")) as server:
        yield server


@pytest.fixture
async def cluster(is_real: bool, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ClusterUnderTest]:  # noqa: FBT001 - a fixture has the name of what it gives
    """A cluster with nothing in it that this test did not put there."""
    opened = (
        open_real_cluster(request.getfixturevalue("real_server"), tmp_path)
        if is_real
        else open_stand_in_cluster(tmp_path)
    )
    async with opened as tested:
        yield tested


@pytest.fixture
def name() -> Callable[[str], str]:
    """Names that no other test uses, since a real cluster is shared."""
    number = next(_numbers)
    return lambda word: f"{word}-{number}"
