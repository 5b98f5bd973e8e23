"""Follows all objects of one kind in one namespace, or in all: list, then watch, and list again where it must.

The server ends a watch every few minutes, and it goes on from where it was. A version that the server has forgotten
(410 Gone), a continue token that grew too old, a connection that fell silent: each has its way back here, and none
loses a change. https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from routing.cluster_api import (
    ClusterApi,
    ClusterAway,
    ClusterFault,
    Expired,
    Forbidden,
    Manifest,
    Missing,
    Resource,
    key_of,
)
from routing.inventory import Delta, Inventory
from routing.model import Batch, Refusal
from routing.portions import portions

PAGE = 250  # objects of one answer: some 500 kB of JSON, which the loop reads in a few milliseconds
FIRST_DELAY = 0.2  # seconds before the second try; it doubles up to the next line
DELAY_MAX = 10.0  # of an API server that comes back, nobody wants to wait longer for the routes
DELAY_FORBIDDEN = 30.0  # a right is granted by a person
REFUSALS = 3  # in a row, before they count: an API server that starts refuses everybody until it has read the roles
JITTER = 0.25  # so that replicas do not all come back at once


class WatchState(StrEnum):
    """How a watch fares."""

    STARTING = "starting"
    LIVE = "live"
    AWAY = "away"
    """The API server cannot be reached, or fails."""
    FORBIDDEN = "forbidden"
    """The gateway lacks the right, or there is no such namespace."""


@dataclass(frozen=True, slots=True)
class WatchStatus:
    """What there is to say about a watch."""

    resource: str
    namespace: str
    """Empty for all."""
    state: WatchState
    reason: str = ""


Write = Callable[[Batch, tuple[Refusal, ...]], None]


class Reflector:
    """Keeps an inventory equal to what the API server has, and writes what follows for the table."""

    def __init__(
        self,
        api: ClusterApi,
        resource: Resource,
        namespace: str,
        inventory: Inventory,
        *,
        write: Write,
        tell: Callable[[WatchStatus], None],
    ) -> None:
        """`tell` hears of every change of the status."""
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._inventory = inventory
        self._write = write
        self._tell = tell
        self._version = ""
        self._delay = FIRST_DELAY
        self._refusals = 0
        self._heard = time.monotonic()
        self.status = WatchStatus(resource.plural, namespace, WatchState.STARTING)
        self.has_listed = False

    def __repr__(self) -> str:
        return f"<Reflector {self._resource.plural} in {self._namespace or 'all namespaces'} {self.status.state}>"

    @property
    def is_settled(self) -> bool:
        """Whether everything is known, or is known not to be allowed."""
        return self.has_listed or self.status.state is WatchState.FORBIDDEN

    @property
    def age(self) -> float:
        """Seconds since the API server last said anything, if only that nothing changed."""
        return time.monotonic() - self._heard

    async def run(self) -> None:
        """Follow, for ever, whatever the API server does."""
        while True:
            began = time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                delay = 0.0 if time.monotonic() - began > 1 else self._next_delay()
            except Expired:
                self._version = ""
                delay = self._next_delay()
            except ClusterFault as fault:
                self._fail(fault)
                delay = max(self._next_delay(), fault.retry_after)
            await asyncio.sleep(delay * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - spreads load only

    async def _list(self) -> None:
        present = set[str]()
        async with self._writing() as delta:
            version = await self._read_pages(present, delta)
            self._inventory.retain(self._namespace, present, delta)
        self._version = version
        self.has_listed = True
        self._thrive()

    async def _read_pages(self, present: set[str], delta: Delta) -> str:
        """Put every object and its key; the version that all pages are of."""
        token = ""
        while True:
            page = await self._api.list_page(self._resource, self._namespace, PAGE, token)
            self._heard = time.monotonic()
            for items in portions(page.get("items") or []):
                for item in items:
                    present.add(key_of(item))
                    self._inventory.put(item, delta)
                await asyncio.sleep(0)
            if not self.has_listed:  # the first time there is nothing that could have moved
                await self._flush(delta)
            metadata = page["metadata"]
            token = metadata.get("continue", "")
            if not token:
                return str(metadata["resourceVersion"])

    async def _watch(self) -> None:
        async for events in self._api.watch(self._resource, self._namespace, self._version):
            self._heard = time.monotonic()
            self._thrive()
            async with self._writing() as delta:
                for event in events:
                    self._take(event, delta)
            await asyncio.sleep(0)

    def _take(self, event: Manifest, delta: Delta) -> None:
        kind, manifest = event["type"], event["object"]
        version = manifest["metadata"]["resourceVersion"]
        if not _is_later(version, self._version):
            return  # said twice, or late: one watch tells the changes in the order of their versions
        if kind in ("ADDED", "MODIFIED"):
            self._inventory.put(manifest, delta)
        elif kind == "DELETED":
            self._inventory.remove(manifest, delta)
        self._version = version  # a bookmark has nothing but this

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Delta]:
        """Write what the block finds out, also where it breaks off: the inventory takes it for written."""
        delta = Delta()
        try:
            yield delta
        except ClusterFault:
            await self._flush(delta)
            raise
        except (LookupError, TypeError, AttributeError) as exc:
            await self._flush(delta)
            raise ClusterAway(f"the answer is no object of the Kubernetes API: {exc!r}") from exc
        await self._flush(delta)

    async def _flush(self, delta: Delta) -> None:
        # What is gone goes first, so that a name which moved to another Service is no conflict.
        gone = [key for key, claim in delta.claims.items() if claim is None]
        claims = [claim for claim in delta.claims.values() if claim is not None]
        if delta.refusals:
            self._write(Batch(), tuple(delta.refusals))
        for keys in portions(gone):
            self._write(Batch(removed=tuple(keys)), ())
            await asyncio.sleep(0)
        for portion in portions(claims):
            self._write(Batch(changed=tuple(portion)), ())
            await asyncio.sleep(0)
        delta.clear()

    def _thrive(self) -> None:
        self._delay = FIRST_DELAY
        self._refusals = 0
        self._set_status(WatchState.LIVE)

    def _fail(self, fault: ClusterFault) -> None:
        self._refusals = self._refusals + 1 if isinstance(fault, Forbidden | Missing) else 0
        state = WatchState.FORBIDDEN if self._refusals >= REFUSALS else WatchState.AWAY
        self._set_status(state, str(fault))

    def _set_status(self, state: WatchState, reason: str = "") -> None:
        status = WatchStatus(self._resource.plural, self._namespace, state, reason)
        if status != self.status:
            self.status = status
            self._tell(status)

    def _next_delay(self) -> float:
        most = DELAY_FORBIDDEN if self.status.state is WatchState.FORBIDDEN else DELAY_MAX
        delay, self._delay = min(self._delay, most), min(2 * self._delay, most)
        return delay


def _is_later(version: str, than: str) -> bool:
    """Whether a version comes after another one; they are whole numbers since Kubernetes 1.35, and in fact before."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
