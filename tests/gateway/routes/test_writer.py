"""The one writer of the route table, and the route file as its source."""

import asyncio
import io
from pathlib import Path

import pytest

from gateway.routes.file import FileRoutes
from gateway.routes.writer import RouteWriter
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from routing.discovery import RoutingRules
from routing.file import RouteFile, RouteFileError
from routing.table import RouteTable

ENTRY = """
  - name: {name}
    id: 993
    host_template: "{{{{.port}}}}-{name}.ws.example.dev"
    address: 127.0.0.1
    ports: [{{name: web, port: 1, target_port: 3000}}]
"""


class Heard(io.StringIO):
    """A log that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    async def wait_for(self, text: str, times: int) -> None:
        async with asyncio.timeout(10):
            while self.getvalue().count(text) < times:
                self._written.clear()
                await self._written.wait()


class Written:
    """A route file and a writer, with everything that can be seen of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = RouteTable()
        self.metrics = Metrics()
        self.log = Heard()
        self.ended: list[str] = []
        log = open_log("info", self.log)
        writer = RouteWriter(self.table, ended=self.ended.append, metrics=self.metrics, log=log)
        source = RouteFile(path, RoutingRules("ws.example.dev"))
        self.routes = FileRoutes(source, writer, self.metrics, log)

    def load(self, *names: str) -> None:
        self.path.write_text("workspaces:" + "".join(ENTRY.format(name=name) for name in names))
        self.routes.reload()

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"workspaces_gateway_{name}")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A writer of an empty table."""
    return Written(tmp_path / "routes.yaml")


def test_loading_fills_the_table_and_says_how_full_it_is(written: Written) -> None:
    """In gauges and in the log."""
    written.load("apple", "bear")

    assert (len(written.table), written.table.synced) == (2, True)
    assert (written.metric("routes"), written.metric("workspaces")) == (2, 2)
    assert '"routes.applied"' in written.log.getvalue()


def test_a_workspace_that_left_is_reported_to_the_doors(written: Written) -> None:
    """By its identity, once."""
    written.load("apple", "bear")
    bear = written.table.get_workspace("bear")
    assert bear is not None
    written.load("apple")

    assert written.ended == [bear.uid]


def test_a_refused_host_is_logged_and_counted(written: Written) -> None:
    """With the Service that asked for it."""
    written.path.write_text("workspaces:" + ENTRY.format(name="apple").replace("{{.port}}-apple.", ""))
    written.routes.reload()

    assert written.metric("route_failures_total") == 1
    assert '"service": "default/apple"' in written.log.getvalue()


async def test_following_survives_every_kind_of_broken_file(written: Written) -> None:
    """It is logged and counted, the routes stay, and the next good file is read."""
    written.load("apple")
    async with asyncio.TaskGroup() as group:
        following = group.create_task(written.routes.follow())
        for number, broken in enumerate(("workspaces: !!int abc", "workspaces: " + "[" * 5000, "workspaces: ["), 1):
            written.path.write_text(broken)
            await written.log.wait_for('"routes.unreadable"', number)
            assert len(written.table) == 1
        written.path.write_text("workspaces: []")
        await written.log.wait_for('"routes.applied"', 2)
        following.cancel()

    assert len(written.table) == 0
    assert written.metric("route_failures_total") == 3


def test_an_unreadable_file_leaves_the_table_as_it_is(written: Written) -> None:
    """It is for the caller to say whether that is fatal."""
    written.load("apple")
    written.path.write_text("workspaces: [")
    with pytest.raises(RouteFileError):
        written.routes.reload()

    assert len(written.table) == 1
