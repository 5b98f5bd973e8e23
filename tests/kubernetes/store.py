"""What an API server keeps: objects under versions that only grow, and the changes since the last compaction. Pure."""

import copy
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice, takewhile

from tests.kubernetes.objects import Object

Place = tuple[str, str, str]
"""Plural, namespace and name."""


class Refused(Exception):
    """What the API server answers instead, as it would: the HTTP status and its reason."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    @property
    def status(self) -> Object:
        """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/"""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
        }


EXPIRED = Refused(410, "Expired", "The resourceVersion for the provided watch is too old.")
CONFLICT = Refused(409, "Conflict", "the object has been modified; please apply your changes to the latest version")


@dataclass(frozen=True)
class Change:
    """One event of a watch."""

    version: int
    plural: str
    kind: str
    """ADDED, MODIFIED or DELETED."""
    object: Object = field(repr=False)
    was: Object | None = field(repr=False)
    """The object before."""

    def seen_with(self, label: str) -> str:
        """What a watch with a label selector calls it; empty where it tells nothing."""
        had, has = self.was is not None and _has(self.was, label), _has(self.object, label)
        if self.kind == "DELETED" or not has:
            return "DELETED" if had else ""
        return "MODIFIED" if had else "ADDED"


@dataclass
class Store:
    """The objects of a cluster."""

    objects: dict[Place, Object] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    version: int = 100
    oldest: int = 0
    """Changes up to this version are forgotten."""
    changed: Callable[[], None] = lambda: None
    _sorted: list[Place] | None = None
    """The places of all objects, as long as none comes or goes."""

    def put(self, plural: str, manifest: Object) -> Object:
        """Create an object, or write over it what `kubectl apply` would."""
        new = copy.deepcopy(manifest)
        metadata = new["metadata"]
        place = (plural, metadata["namespace"], metadata["name"])
        old = self.objects.get(place)
        if old is not None:
            metadata["annotations"] = {**old["metadata"].get("annotations", {}), **metadata.get("annotations", {})}
        metadata["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata["creationTimestamp"] = old["metadata"]["creationTimestamp"] if old else created
        if plural == "services" and new["spec"].get("type") != "ExternalName":
            held = old["spec"]["clusterIP"] if old else f"10.96.{self.version // 250 % 250}.{self.version % 250 + 1}"
            new["spec"].setdefault("clusterIP", held)
        return self._keep(place, new, "MODIFIED" if old else "ADDED")

    def patch(self, place: Place, patch: Object) -> Object:
        """A JSON merge patch (RFC 7386); one that names a version is for that version only."""
        old = self.find(place)
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != old["metadata"]["resourceVersion"]:
            raise CONFLICT
        return self._keep(place, _merge(old, patch), "MODIFIED")

    def delete(self, place: Place) -> None:
        last = copy.deepcopy(self.find(place))
        was = self.objects.pop(place)
        self._sorted = None
        self._note(place[0], "DELETED", last, was)

    def find(self, place: Place) -> Object:
        try:
            return self.objects[place]
        except KeyError:
            raise Refused(404, "NotFound", f'{place[0]} "{place[2]}" not found') from None

    def list(self, plural: str, namespace: str, label: str, after: Place | None, limit: int) -> list[Object]:
        """At most `limit` objects, in the order of etcd's keys, from the one after a place."""
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        first = bisect_right(self._sorted, after or (plural, namespace, ""))
        places = islice(self._sorted, first, None)
        wanted = takewhile(lambda place: place[0] == plural and namespace in ("", place[1]), places)
        return list(islice((held for place in wanted if _has(held := self.objects[place], label)), limit))

    def since(self, version: int, plural: str, namespace: str, label: str) -> Iterator[tuple[str, Object]]:
        """The changes after a version, as events of a watch."""
        if version < self.oldest:
            raise EXPIRED
        for change in self.changes[self._index(version) :]:
            is_in = namespace in ("", change.object["metadata"]["namespace"])
            if change.plural == plural and is_in and (kind := change.seen_with(label)):
                yield kind, change.object

    def compact(self) -> None:
        """Forget all changes up to now."""
        self.oldest = self.version
        self.changes.clear()

    def _index(self, version: int) -> int:
        # Versions are given one by one, so that the place of a change follows from its version.
        return max(0, len(self.changes) - (self.version - version))

    def _keep(self, place: Place, new: Object, kind: str) -> Object:
        was = self.objects.get(place)
        self.objects[place] = new
        if was is None:
            self._sorted = None
        self._note(place[0], kind, new, was)
        return new

    def _note(self, plural: str, kind: str, changed: Object, was: Object | None) -> None:
        self.version += 1
        changed["metadata"] = {**changed["metadata"], "resourceVersion": str(self.version)}
        self.changes.append(Change(self.version, plural, kind, changed, was))
        self.changed()


def _has(held: Object, label: str) -> bool:
    return not label or label in held["metadata"].get("labels", {})


def _merge(old: Object, patch: Object) -> Object:
    merged = dict(old)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge(old[key] if isinstance(old.get(key), dict) else {}, value)
        else:
            merged[key] = value
    return merged
