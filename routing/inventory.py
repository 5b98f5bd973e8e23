"""What the watches of a cluster told, kept so far as the next change needs it. Pure.

`Services` and `EndpointSlices` take the objects of their kind and return what becomes of the claims on the route
table. A claim knows its workspace's state, so an EndpointSlice that changes, changes the claim of its Service.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from routing.cluster_api import Manifest, key_of
from routing.discovery import RoutingRules, derive_claim
from routing.endpoints import get_owner_key, read_slice, state_of
from routing.model import Claim, Refusal, WorkspaceState
from routing.service import read_service


@dataclass(slots=True)
class Delta:
    """Changes that wait to be written to the table."""

    claims: dict[str, Claim | None] = field(default_factory=dict)
    """By key; None where it is gone."""
    refusals: list[Refusal] = field(default_factory=list)

    def clear(self) -> None:
        """They have been written."""
        self.claims.clear()
        self.refusals.clear()


class Inventory(Protocol):
    """All objects of one kind, as far as anybody has told."""

    def put(self, manifest: Manifest, delta: Delta) -> None:
        """An object that exists."""

    def remove(self, manifest: Manifest, delta: Delta) -> None:
        """An object that is gone."""

    def retain(self, namespace: str, present: set[str], delta: Delta) -> None:
        """Every object of a namespace (of all, where it is empty) that is not among the keys `present` is gone."""


class Services(Inventory):
    """The claims of all Services."""

    def __init__(self, rules: RoutingRules, state: Callable[[str], WorkspaceState]) -> None:
        """`state` says what the EndpointSlices of the Service with a key say."""
        self._rules = rules
        self._state = state
        self._claims: dict[str, Claim] = {}
        self._refusals: dict[str, tuple[Refusal, ...]] = {}

    def __repr__(self) -> str:
        return f"<Services claims={len(self._claims)} refused={len(self._refusals)}>"

    def put(self, manifest: Manifest, delta: Delta) -> None:
        key = key_of(manifest)
        claim, refusals = self._derive(manifest)
        self._refuse(key, refusals, delta)
        self._set(key, claim, delta)

    def remove(self, manifest: Manifest, delta: Delta) -> None:
        self._forget(key_of(manifest), delta)

    def retain(self, namespace: str, present: set[str], delta: Delta) -> None:
        for known in (self._claims, self._refusals):
            for key in _missing(known, present, namespace):
                self._forget(key, delta)

    def get_claim(self, key: str) -> Claim | None:
        """What the Service of this key claims."""
        return self._claims.get(key)

    def restate(self, key: str, delta: Delta) -> None:
        """What the EndpointSlices of a Service say has changed."""
        claim, state = self._claims.get(key), self._state(key)
        if claim is not None and claim.workspace.state is not state:
            workspace = replace(claim.workspace, state=state)
            routes = tuple(replace(route, workspace=workspace) for route in claim.routes)
            self._set(key, replace(claim, workspace=workspace, routes=routes), delta)

    def _derive(self, manifest: Manifest) -> tuple[Claim | None, tuple[Refusal, ...]]:
        key = key_of(manifest)
        try:
            service, refusals = read_service(manifest)
            if service is None:
                return None, refusals
            claim, further = derive_claim(replace(service, state=self._state(key)), self._rules)
        except (ValueError, TypeError, LookupError, AttributeError) as exc:  # no API server lets such an object in
            return None, (Refusal(key, f"cannot be understood: {type(exc).__name__}: {exc}"),)
        return claim, refusals + further

    def _set(self, key: str, claim: Claim | None, delta: Delta) -> None:
        if claim == self._claims.get(key):
            return
        if claim is None:
            del self._claims[key]
        else:
            self._claims[key] = claim
        delta.claims[key] = claim

    def _refuse(self, key: str, refusals: tuple[Refusal, ...], delta: Delta) -> None:
        # An agent writes its Services again every hour; what was said once need not be said again.
        if refusals != self._refusals.get(key, ()):
            delta.refusals += refusals
        self._refusals.pop(key, None)
        if refusals:
            self._refusals[key] = refusals

    def _forget(self, key: str, delta: Delta) -> None:
        self._refusals.pop(key, None)
        self._set(key, None, delta)


class EndpointSlices(Inventory):
    """The states that all EndpointSlices tell of, by the Service they belong to."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[tuple[str, WorkspaceState], ...]] = {}
        """By the key of the Service: each of its slices, by key, and what it says."""
        self._owners: dict[str, str] = {}
        """By the key of the slice: its Service."""
        self._services: Services | None = None

    def __repr__(self) -> str:
        return f"<EndpointSlices services={len(self._states)}>"

    def inform(self, services: Services) -> None:
        """Tell these Services of every change."""
        self._services = services

    def state(self, key: str) -> WorkspaceState:
        """What is known of the pod behind the Service of this key."""
        return state_of(state for _, state in self._states.get(key, ()))

    def put(self, manifest: Manifest, delta: Delta) -> None:
        key, owner = key_of(manifest), get_owner_key(manifest)
        if self._owners.get(key, owner) != owner:
            self._forget(key, delta)
        if owner:
            self._owners[key] = owner
            self._set(owner, (*self._others(owner, key), (key, read_slice(manifest))), delta)

    def remove(self, manifest: Manifest, delta: Delta) -> None:
        self._forget(key_of(manifest), delta)

    def retain(self, namespace: str, present: set[str], delta: Delta) -> None:
        for key in _missing(self._owners, present, namespace):
            self._forget(key, delta)

    def _forget(self, key: str, delta: Delta) -> None:
        if owner := self._owners.pop(key, None):
            self._set(owner, self._others(owner, key), delta)

    def _others(self, owner: str, key: str) -> tuple[tuple[str, WorkspaceState], ...]:
        return tuple(pair for pair in self._states.get(owner, ()) if pair[0] != key)

    def _set(self, owner: str, states: tuple[tuple[str, WorkspaceState], ...], delta: Delta) -> None:
        self._states.pop(owner, None)
        if states:
            self._states[owner] = states
        if self._services is not None:
            self._services.restate(owner, delta)


def _missing(known: Iterable[str], present: set[str], namespace: str) -> list[str]:
    prefix = f"{namespace}/" if namespace else ""
    return [key for key in known if key not in present and key.startswith(prefix)]
