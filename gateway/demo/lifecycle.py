"""What the agent and the cluster do when GitLab wants a workspace to run: its servers start, its route says so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from gateway.demo.gitlab_model import GitLabWorkspace
from gateway.demo.gitlab_state import GitLabState
from gateway.demo.sshd import WorkspaceSshd
from gateway.demo.workspace import WorkspaceServers

STARTING_SECONDS = 1.0  # a real one takes minutes; this is long enough to see the page that follows it


class Lifecycle:
    """Runs the workspaces that are started while the demo runs, until it ends."""

    def __init__(self, state: GitLabState, routes: Path, changed: Callable[[], None], tasks: asyncio.TaskGroup) -> None:
        """`changed` is called after each change of the route file."""
        self._state = state
        self._routes = routes
        self._changed = changed
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        state.subscribe(self._observe)

    def stop(self) -> None:
        for task in self._running:
            task.cancel()

    def _observe(self, before: GitLabWorkspace, after: GitLabWorkspace) -> None:
        if (before.actual_state, after.actual_state) == ("Stopped", "Starting"):
            self._running.add(self._tasks.create_task(self._run(after)))

    async def _run(self, workspace: GitLabWorkspace) -> None:
        self._rewrite(workspace.name, "starting", {})
        await asyncio.sleep(STARTING_SECONDS)
        async with WorkspaceServers(workspace.name) as servers, WorkspaceSshd() as sshd:
            ports = {"editor-server": servers.editor_port, "http-3000": servers.site_port, "ssh-server": sshd.port}
            self._rewrite(workspace.name, "running", ports)
            self._state.set_actual_state(workspace.id, "Running")
            await asyncio.Event().wait()

    def _rewrite(self, name: str, state: str, ports: dict[str, int]) -> None:
        told = yaml.safe_load(self._routes.read_text())
        entry: dict[str, Any] = next(item for item in told["workspaces"] if item["name"] == name)
        entry["state"] = state
        for item in entry["ports"]:
            item["port"] = ports.get(item["name"], item["port"])
        self._routes.write_text(yaml.safe_dump(told, sort_keys=False))
        self._changed()


@asynccontextmanager
async def run_lifecycle(state: GitLabState, routes: Path, changed: Callable[[], None]) -> AsyncIterator[None]:
    """Start what GitLab wants started while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        lifecycle = Lifecycle(state, routes, changed, tasks)
        try:
            yield
        finally:
            lifecycle.stop()
