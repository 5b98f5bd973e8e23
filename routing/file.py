"""A YAML file as the source of routes: the demo, the tests, and a gateway for a single machine.

It says what Services say in a cluster, in the same words.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from routing.discovery import RoutingRules, derive_claim
from routing.model import Claim, Refusal, Relisted, ServicePort, WorkspaceService, WorkspaceState

_Loader: type[yaml.CSafeLoader | yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where libyaml is there: five times as fast."""

_Port = Annotated[int, Field(ge=1, le=65535)]
_Text = Annotated[str, Field(coerce_numbers_to_str=True)]  # a number needs no quotes


_GROUP = "must be a group of keys, as the README shows it"
_PORT = "must be a port from 1 to 65535"
_SENTENCES = {
    "missing": "is needed",
    "extra_forbidden": "is unknown",
    "model_type": _GROUP,
    "model_attributes_type": _GROUP,
    "tuple_type": "must be a list",
    "int_parsing": "must be a whole number",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "greater_than_equal": _PORT,
    "less_than_equal": _PORT,
    "enum": f"must be {', '.join(list(WorkspaceState)[:-1])} or {list(WorkspaceState)[-1]}",
}
"""What pydantic says in the words of Python, in those of an operator."""


class RouteFileError(Exception):
    """The route file is missing, no YAML, or says something that is no route. Lists every fault."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _PortEntry(_Entry):
    name: str = ""
    port: _Port
    target_port: _Port
    visibility: str = "private"


class _WorkspaceEntry(_Entry):
    name: Annotated[str, Field(min_length=1)]
    id: _Text
    namespace: str = "default"
    agent_id: _Text = ""
    uid: str = ""
    host_template: str
    address: str
    state: WorkspaceState = WorkspaceState.UNKNOWN
    ssh_host_key: str = ""
    idle_timeout: _Text = ""
    ports: tuple[_PortEntry, ...]


class _File(_Entry):
    workspaces: tuple[_WorkspaceEntry, ...]


class RouteFile:
    """Reads one route file."""

    def __init__(self, path: Path, rules: RoutingRules) -> None:
        self.path = path
        self._rules = rules

    def read(self) -> tuple[Relisted, tuple[Refusal, ...]]:
        """All routes of the file, and the parts of it that were refused.

        Raises:
            RouteFileError: if the file cannot be read or understood.
        """
        claims: list[Claim] = []
        refusals: list[Refusal] = []
        for index, entry in enumerate(_parse(self.path).workspaces):
            claim, refused = derive_claim(_service(entry, index), self._rules)
            claims += [claim] if claim else []
            refusals += refused
        repeated = _repeated(claims)
        refusals += [Refusal(key, "stands twice in the route file; the first counts") for key in repeated]
        return Relisted(tuple({claim.key: claim for claim in reversed(claims)}.values())), tuple(refusals)


def _parse(path: Path) -> _File:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - both are safe loaders
        return _File.model_validate(data)
    except OSError as exc:
        raise RouteFileError(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise RouteFileError(f"{path}: not UTF-8 text") from exc
    except yaml.YAMLError as exc:
        raise RouteFileError(f"{path}: not valid YAML: {exc}") from exc
    except ValidationError as exc:
        raise RouteFileError("\n".join(f"{path}: {_said(error)}" for error in exc.errors())) from exc
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as exc:
        # What PyYAML's constructors raise for a date that is none, a tag that does not fit, a thousand brackets.
        raise RouteFileError(f"{path}: not valid YAML: {type(exc).__name__}") from exc


def _said(error: ErrorDetails) -> str:
    where = ".".join(map(str, error["loc"])) or "the file"
    return f"{where}: {_SENTENCES.get(error['type'], error['msg'])}"


def _service(entry: _WorkspaceEntry, index: int) -> WorkspaceService:
    identity = f"{entry.namespace}/{entry.name}/{entry.id}"
    return WorkspaceService(
        name=entry.name,
        namespace=entry.namespace,
        uid=entry.uid or hashlib.sha256(identity.encode()).hexdigest()[:32],
        created=float(index),  # in a file the first is the oldest
        workspace_id=entry.id,
        agent_id=entry.agent_id,
        host_template=entry.host_template,
        cluster_ip=entry.address,
        ports=tuple(ServicePort(port.name, port.port, port.target_port) for port in entry.ports),
        visibility=tuple((port.target_port, port.visibility) for port in entry.ports),
        state=entry.state,
        ssh_host_key=entry.ssh_host_key,
        idle_timeout=entry.idle_timeout,
    )


def _repeated(claims: list[Claim]) -> list[str]:
    return sorted(key for key, times in Counter(claim.key for claim in claims).items() if times > 1)
