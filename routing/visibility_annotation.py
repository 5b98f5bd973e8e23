"""The annotation of a Service that says how open each port is: a JSON object, from port to level. Pure.

Whatever cannot be understood is as if it were not there, and what is not there is private.
"""

import json
import re
from collections.abc import Mapping

ANNOTATION = "workspaces.gitlab.com/port-visibility"

Declared = tuple[tuple[int, str], ...]
"""Level by target port."""

_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")  # one spelling each, so that no port is declared twice
_LENGTH_MAX = 16_384  # some 500 ports; the API server itself allows 256 KiB of annotations


class NotUnderstood(ValueError):
    """The annotation is no JSON object of ports and levels."""


def read_declared(annotations: Mapping[str, str]) -> Declared:
    """What the annotation says, entry by entry; nothing where there is none.

    Raises:
        NotUnderstood: if it is too long or no JSON object, with the reason for the operator.
    """
    entries = _entries(annotations.get(ANNOTATION, "")).items()
    return tuple(sorted((int(port), level) for port, level in entries if _is_port(port) and isinstance(level, str)))


def write_declared(annotations: Mapping[str, str], port: int, level: str) -> str:
    """The annotation with the level of one port changed; entries that nobody understands are dropped."""
    try:
        declared = dict(read_declared(annotations))
    except NotUnderstood:
        declared = {}
    declared[port] = level
    return json.dumps({str(each): declared[each] for each in sorted(declared)}, separators=(",", ":"))


def _entries(text: str) -> dict[str, object]:
    if not text:
        return {}
    if len(text) > _LENGTH_MAX:
        raise NotUnderstood(f"{ANNOTATION} is longer than {_LENGTH_MAX} characters")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise NotUnderstood(f"{ANNOTATION} is not JSON") from exc
    if not isinstance(told, dict):
        raise NotUnderstood(f"{ANNOTATION} is not a JSON object of ports and levels")
    return told


def _is_port(text: str) -> bool:
    return _PORT.match(text) is not None and int(text) <= 65535
