"""What can be wrong with the settings, said in sentences for an operator.

A sentence names what was written and what would be right. It never quotes a secret, nor anything of unknown shape
that may hold one: a URL, a key of a mapping that is no plain name, a value of an unknown setting.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.names import NAMES, Keys, get_name, path_of

_SHOWN_MAX = 40  # characters of a value in a sentence; whatever is longer was not meant for a number or a word
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,40}")
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # as annotations take them, and other programs
_KUBERNETES_LINK = re.compile(r"tcp://[^\s]+")
_RENAMED = {"port": "http.port"}  # the sample of the original's README has it, and the original ignores it


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the settings."""

    path: str
    """The setting, or empty where the fault is in no single one."""
    source: str
    """Where its value came from, such as `environment AUTH_HOST`."""
    problem: str

    def __str__(self) -> str:
        where = f"{self.path} ({self.source})" if self.path else self.source
        return f"{where}: {self.problem}"


class SettingsError(Exception):
    """The settings cannot be used. Holds every fault, and no secret."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Problem:
    """A setting that is not valid by itself."""

    keys: Keys
    """As written, so that one may hold a secret; see `shown_path`."""
    sentence: str


def shown_path(keys: Keys) -> str:
    """The path without a last key that may be a secret which somebody wrote without its colon."""
    return path_of(keys if _is_plain(keys[-1]) else keys[:-1])


def _is_plain(key: int | str) -> bool:
    return isinstance(key, int) or _PLAIN_NAME.fullmatch(key) is not None


def problems_in(error: ValidationError) -> tuple[Problem, ...]:
    """Every setting that is not valid, with the sentence for it."""
    return tuple(Problem(detail["loc"], _sentence(detail)) for detail in error.errors(include_url=False))


def _sentence(error: ErrorDetails) -> str:
    sentence = _SENTENCES.get(error["type"])
    if sentence is not None:
        return sentence(error)
    cause = error.get("ctx", {}).get("error")
    return str(cause) if cause is not None else "is not valid"


def _unknown_key(error: ErrorDetails) -> str:
    if not _is_plain(error["loc"][-1]):
        return "holds a key that is no name; a colon and a space stand between a key and its value"
    path = path_of(error["loc"])
    table = get_name(path)
    if table and table.columns:
        return f"is unknown; the keys of an entry are {table.columns}"
    return unknown_name(path, tuple(NAMES))


def unknown_name(given: str, known: tuple[str, ...]) -> str:
    """What to say about a key or a flag that does not exist."""
    if given in _RENAMED:
        return f"is not read by the gateway; write {_RENAMED[given]} instead"
    if given in known:
        group, _dot, key = given.partition(".")
        return f"is not written with a dot in the file; write `{key}:` indented below `{group}:`"
    variables = [name.path for name in NAMES.values() if name.env == given]
    close = variables or get_close_matches(given, known, n=1) or [name for name in known if name.endswith(f".{given}")]
    return f"is unknown; did you mean {close[0]}?" if close else "is unknown"


def _no_number(kind: str) -> Callable[[ErrorDetails], str]:
    def sentence(error: ErrorDetails) -> str:
        text = str(error["input"])
        if _KUBERNETES_LINK.fullmatch(text):
            return (
                "is what Kubernetes sets for a Service of that name, not a setting; "
                "put enableServiceLinks: false into the pod"
            )
        return f"{_shown(error)} is not {kind}"

    return sentence


def _no_seconds(error: ErrorDetails) -> str:
    duration = _DURATION.fullmatch(str(error["input"]))
    instead = f"; write {int(duration[1]) * _UNITS[duration[2]]}" if duration else ""
    return _no_number("a number of seconds")(error) + instead


def _no_choice(error: ErrorDetails) -> str:
    choices = re.findall(r"'(\w+)'", str(error.get("ctx", {}).get("expected")))
    words = f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]
    return f"{_shown(error)} is not known; write {words}"


def _out_of_bounds(text: str, bound: str) -> Callable[[ErrorDetails], str]:
    return lambda error: f"{_shown(error)} is out of range; it must be {text} {error.get('ctx', {})[bound]:.10g}"


def _always(text: str) -> Callable[[ErrorDetails], str]:
    return lambda _error: text


def _shown(error: ErrorDetails) -> str:
    """What was written, for settings that cannot hold a secret."""
    value: Any = error["input"]
    name = get_name(path_of(error["loc"]))
    if not isinstance(value, str | int | float) or name is None or name.is_secret:
        return "what is given"
    text = str(value)
    if not text:
        return "an empty value"
    return f"'{text}'" if len(text) <= _SHOWN_MAX and text.isprintable() else "what is given"


_GROUP = "must be a group of keys, each on a line of its own below it and indented"
_LIST = "must be a list, such as [a, b]"
_SENTENCES: dict[str, Callable[[ErrorDetails], str]] = {
    "missing": _always("is needed"),
    "extra_forbidden": _unknown_key,
    "model_type": _always(_GROUP),
    "model_attributes_type": _always(_GROUP),
    "string_type": _always("must be a single text"),
    "path_type": _always("must be a single path"),
    "tuple_type": _always(_LIST),
    "literal_error": _no_choice,
    "int_parsing": _no_number("a whole number"),
    "int_parsing_size": _no_number("a whole number of any sensible size"),
    "int_from_float": _no_number("a whole number"),
    "int_type": _no_number("a whole number"),
    "float_parsing": _no_seconds,
    "float_type": _no_seconds,
    "finite_number": _no_number("a finite number of seconds"),
    "bool_type": _always("must be true or false"),
    "greater_than": _out_of_bounds("more than", "gt"),
    "greater_than_equal": _out_of_bounds("at least", "ge"),
    "less_than_equal": _out_of_bounds("at most", "le"),
}
