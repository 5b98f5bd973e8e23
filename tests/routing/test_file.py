"""The route file as the source of routes."""

from pathlib import Path

import pytest

from routing.discovery import RoutingRules
from routing.file import RouteFile, RouteFileError
from routing.model import WorkspaceState
from routing.table import RouteTable

RULES = RoutingRules(portal_host="ws.example.dev")
GOOD = """
workspaces:
  - name: apple
    id: 993
    host_template: "{{.port}}-apple.ws.example.dev"
    address: 127.0.0.1
    state: stopped
    ports:
      - {name: editor-server, port: 41001, target_port: 60001}
      - {name: http-3000, port: 41002, target_port: 3000, visibility: public}
"""


def write(folder: Path, text: str) -> RouteFile:
    """A route file with this content."""
    path = folder / "routes.yaml"
    path.write_text(text)
    return RouteFile(path, RULES)


def test_it_says_what_services_say(tmp_path: Path) -> None:
    """Name, number, state, ports and declared visibility."""
    change, refusals = write(tmp_path, GOOD).read()

    (claim,) = change.claims
    assert (claim.workspace.name, claim.workspace.id, claim.workspace.state) == ("apple", "993", WorkspaceState.STOPPED)
    assert [(str(r.upstream), r.port, r.declared) for r in claim.routes] == [
        ("127.0.0.1:41001", 60001, "private"),
        ("127.0.0.1:41002", 3000, "public"),
    ]
    assert refusals == ()


def test_two_equal_hosts_go_to_the_first_and_are_reported(tmp_path: Path) -> None:
    """The second workspace keeps what is its own."""
    second = GOOD.split("workspaces:\n")[1].replace("name: apple\n", "name: bear\n")
    change, _ = write(tmp_path, GOOD + second).read()
    table = RouteTable()
    applied = table.apply(change)

    route = table.get_route("3000-apple.ws.example.dev")
    assert route is not None
    assert route.workspace.name == "apple"
    assert [conflict.refused for conflict in applied.conflicts] == ["default/bear", "default/bear"]
    assert table.get_workspace("bear") is not None


def test_a_workspace_that_stands_twice_counts_once(tmp_path: Path) -> None:
    """The first of them, and the other is reported."""
    change, refusals = write(tmp_path, GOOD + GOOD.split("workspaces:\n")[1].replace("993", "994")).read()

    assert [claim.workspace.id for claim in change.claims] == ["993"]
    assert [refusal.key for refusal in refusals] == ["default/apple"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workspaces: [", "not valid YAML"),
        ("", "the file"),
        ("workspaces: 3", "workspaces"),
        (GOOD.replace("port: 41001", "port: 99999"), "workspaces.0.ports.0.port"),
        (GOOD.replace("address:", "adress:"), "workspaces.0.adress: is unknown"),
        (GOOD.replace("address:", "adress:"), "workspaces.0.address: is needed"),
        ("", "the file: must be a group of keys"),
        (GOOD.replace("port: 41001", "port: 0"), "workspaces.0.ports.0.port: must be a port from 1 to 65535"),
        (GOOD.replace("id: 993", "id: []"), "workspaces.0.id: must be a text$"),
        (GOOD.replace("stopped", "Stopped"), "workspaces.0.state: must be running, starting, stopped or unknown"),
        (GOOD + "\x00", "not valid YAML"),
        ("workspaces: 2023-13-45", "not valid YAML"),
        ("workspaces: !!int abc", "not valid YAML"),
        ("workspaces: !!timestamp foo", "not valid YAML"),
        ("workspaces: " + "[" * 5000, "not valid YAML"),
    ],
)
def test_a_file_that_says_no_routes_is_an_error_that_says_where(tmp_path: Path, text: str, told: str) -> None:
    """With the path of what is wrong in it."""
    with pytest.raises(RouteFileError, match=told):
        write(tmp_path, text).read()


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    """As is one that is no text."""
    with pytest.raises(RouteFileError, match=r"none\.yaml: No such file"):
        RouteFile(tmp_path / "none.yaml", RULES).read()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(RouteFileError, match="not UTF-8"):
        RouteFile(tmp_path / "binary.yaml", RULES).read()
