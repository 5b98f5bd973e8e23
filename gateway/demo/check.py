"""Drive a running gateway the way its users do, and say step by step whether it kept its word.

From outside only: a browser, a WebSocket client, an SSH client and a metrics scraper. Nothing here looks inside.
"""

from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A person of the demo: who they are to GitLab, and the token they type into SSH."""

    username: str
    token: SecretStr


@dataclass(frozen=True, slots=True)
class World:
    """What the check has to know of the gateway it visits, and nothing that a visitor would not know."""

    portal_url: str
    admin_url: str
    ssh_host: str
    ssh_port: int
    connect_address: tuple[str, int]
    """The HTTP door. Every name of the gateway is dialled here, whether it resolves or not."""
    users: tuple[DemoUser, ...]
    """The first owns `running` and `stopped`, the second `others`."""
    running: str
    others: str
    stopped: str
    host_template: str
    """Host and port of a workspace port's address, such as `{port}-{name}.workspaces.localhost:9876`."""
    editor_port: int = 60001
    """Private for ever."""
    site_port: int = 3000
    """Declared public on `running`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One promise of the gateway, and whether it was kept."""

    name: str
    ok: bool
    seconds: float
    detail: str


async def run_check(world: World) -> list[Step]:
    """Every step in order; a failing one never stops the rest."""
    raise NotImplementedError(world)


def report(steps: list[Step], *, as_json: bool) -> str:
    """One line per step with its time, or the same as JSON."""
    raise NotImplementedError(steps, as_json)
