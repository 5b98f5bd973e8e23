"""What an owner declares is written into the route file, whole or not at all."""

import asyncio
from pathlib import Path

import pytest
import yaml

from routing.discovery import RoutingRules
from routing.file import RouteFile
from routing.model import Workspace
from routing.table import RouteTable
from routing.visibility_store import RouteFileVisibility, VisibilityNotStored

ROUTES = """\
# a comment, which is lost
workspaces:
  - name: apple
    id: 993
    host_template: "{{.port}}-apple.zone.test"
    address: 10.0.0.1
    state: running
    ports:
      - {name: http-3000, port: 13000, target_port: 3000, visibility: internal}
      - {name: http-8080, port: 18080, target_port: 8080}
  - name: apple
    id: 7
    namespace: elsewhere
    host_template: "{{.port}}-äpfel.zone.test"
    address: 10.0.0.2
    ports: [{port: 3000, target_port: 3000}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES, encoding="utf-8")
    path.chmod(0o640)
    return path


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def apple(path: Path) -> Workspace:
    table = RouteTable()
    table.apply(RouteFile(path, RoutingRules("")).read()[0])
    workspace = table.get_workspace("apple")
    assert workspace is not None
    return workspace


def facts(path: Path) -> tuple[int, int, list[Path]]:
    """Identity, rights and neighbours of the file."""
    return path.stat().st_ino, path.stat().st_mode & 0o777, list(path.parent.iterdir())


def write(path: Path, content: str) -> None:
    path.write_text(content)


async def test_only_the_level_of_that_port_changes(path: Path) -> None:
    """Everything else says what it said, and whoever waits is told."""
    told: list[str] = []
    store = RouteFileVisibility(path, lambda: told.append(read(path)))
    await store.declare(apple(path), 8080, "public")

    before, after = yaml.safe_load(ROUTES), yaml.safe_load(read(path))
    before["workspaces"][0]["ports"][1]["visibility"] = "public"
    assert after == before
    assert len(told) == 1


async def test_the_file_is_replaced_with_its_rights(path: Path) -> None:
    """No reader ever sees half of it, nobody else may read it, and nothing is left beside it."""
    before = facts(path)
    await RouteFileVisibility(path, lambda: None).declare(apple(path), 3000, "private")

    assert facts(path)[0] != before[0]
    assert facts(path)[1:] == (0o640, [path])


async def test_a_link_stays_one(path: Path) -> None:
    """What it leads to is changed."""
    link = path.parent / "link.yaml"
    link.symlink_to(path)
    await RouteFileVisibility(link, lambda: None).declare(apple(path), 3000, "private")

    assert link.is_symlink()
    assert "visibility: private" in read(path)


async def test_changes_at_once_are_all_kept(path: Path) -> None:
    """One after the other, so that none overwrites another."""
    store, other = RouteFileVisibility(path, lambda: None), RouteFileVisibility(path, lambda: None)
    workspace = apple(path)
    for _ in range(5):
        await asyncio.gather(store.declare(workspace, 3000, "public"), other.declare(workspace, 8080, "public"))
        ports = yaml.safe_load(read(path))["workspaces"][0]["ports"]
        assert [port["visibility"] for port in ports] == ["public", "public"]
        await asyncio.gather(store.declare(workspace, 3000, "private"), other.declare(workspace, 8080, "private"))


@pytest.mark.parametrize("content", ["workspaces: []", "workspaces: 7", "[]", "{", "workspaces: [{name: apple}]"])
async def test_a_file_without_the_port_is_left_alone(path: Path, content: str) -> None:
    """Whatever it has become."""
    workspace = apple(path)
    write(path, content)
    told: list[None] = []
    with pytest.raises(VisibilityNotStored):
        await RouteFileVisibility(path, lambda: told.append(None)).declare(workspace, 3000, "public")

    assert read(path) == content
    assert not told


async def test_a_missing_file_is_said(path: Path) -> None:
    """With its name, for the operator."""
    missing = path.parent / "gone.yaml"
    with pytest.raises(VisibilityNotStored, match=r"gone\.yaml"):
        await RouteFileVisibility(missing, lambda: None).declare(apple(path), 3000, "public")
