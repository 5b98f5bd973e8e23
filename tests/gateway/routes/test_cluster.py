"""What following a cluster does to the process."""

import asyncio
import gc
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.routes.cluster import SPARED_CLAIMS, ClusterRoutes
from gateway.routes.writer import RouteWriter
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.discovery import RoutingRules
from routing.kubernetes import open_cluster
from routing.table import RouteTable
from tests.kubernetes.clusters import Rights, StandInCluster, open_stand_in_cluster
from tests.kubernetes.objects import service


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[StandInCluster]:
    """The stand-in of an API server."""
    async with open_stand_in_cluster(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def follow(cluster: StandInCluster) -> AsyncIterator[RouteTable]:
    """The table of a gateway that follows the cluster."""
    table, metrics, log = RouteTable(), Metrics(), open_log("warn", io.StringIO())
    writer = RouteWriter(table, ended=lambda _uid: None, metrics=metrics, log=log)
    async with open_cluster(await cluster.connect(Rights())) as api:
        routes = ClusterRoutes(api, RoutingRules("portal.example"), (), writer=writer, metrics=metrics, log=log)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(routes.follow())
            yield table
            following.cancel()


async def wait_until_known(table: RouteTable, count: int) -> None:
    changed = asyncio.Event()
    table.subscribe(changed.set)
    async with asyncio.timeout(30):
        while table.workspace_count < count:
            await changed.wait()
            changed.clear()


async def test_what_is_alive_is_spared_by_the_collector_while_the_table_is_loaded_and_never_again(
    cluster: StandInCluster,
) -> None:
    """Spared, the remains of a connection that was open at that moment would stay for as long as the process."""

    async def add(start: int, count: int) -> None:
        await cluster.apply(*(service(f"w{n}", "ns", workspace_id=str(n + 1)) for n in range(start, start + count)))

    await add(0, SPARED_CLAIMS)
    before = gc.get_freeze_count()
    try:
        async with follow(cluster) as table:
            await wait_until_known(table, SPARED_CLAIMS)
            loaded = gc.get_freeze_count()
            await add(SPARED_CLAIMS, 2 * SPARED_CLAIMS)
            await wait_until_known(table, 3 * SPARED_CLAIMS)
            followed = gc.get_freeze_count()
    finally:
        gc.unfreeze()

    assert before < loaded
    assert followed <= loaded  # fewer as some of them are freed
