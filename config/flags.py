"""The command line in the syntax of Go's flag package, which operators' charts are written for.

`-x v`, `--x v` and `--x=v` are one flag; a switch takes a value only after `=`; of a repeated flag the last counts.
"""

import re
from collections.abc import Iterator, Sequence

from config.faults import Fault, unknown_name
from config.names import NAMES, SettingName

CONFIG = "--config"
SECRETS_DIR = "--secrets-dir"
_PLACES = (CONFIG, SECRETS_DIR)

_FLAGS = {name.flag: name for name in NAMES.values()}
_PLAIN_FLAG = re.compile(r"--[a-z][a-z0-9_-]{0,40}")


class Flags:
    """What a command line says: texts by path, where else to look, and what is wrong with its form."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.config: str | None = None
        self.secrets_dir: str | None = None
        self.texts: dict[str, str] = {}
        self.faults: list[Fault] = []
        self._follows_unknown = False
        rest = enumerate(arguments, start=1)
        for position, argument in rest:
            self._read(position, argument, rest)

    def _read(self, position: int, argument: str, rest: Iterator[tuple[int, str]]) -> None:
        written, equals, text = argument.partition("=")
        flag = f"--{written.lstrip('-')}"
        is_value = self._follows_unknown and not argument.startswith("-")
        self._follows_unknown = False
        if is_value:
            return  # of a flag that was misspelt, which is said already
        if not argument.startswith("-") or not flag.strip("-"):
            hint = f"a switch is written --http-enabled=false, the settings file {CONFIG} FILE"
            self.faults.append(Fault("", f"argument {position}", f"is not a flag; {hint}"))
        elif flag not in _PLACES and flag not in _FLAGS:
            self.faults.append(_unknown(position, flag))
            self._follows_unknown = not equals
        else:
            self._set(flag, text if equals else self._following(flag, rest))

    def _following(self, flag: str, rest: Iterator[tuple[int, str]]) -> str | None:
        if flag in _FLAGS and _FLAGS[flag].is_switch:
            return "true"
        _position, text = next(rest, (0, None))
        return text

    def _set(self, flag: str, text: str | None) -> None:
        if text is None or (flag in _PLACES and not text):
            self.faults.append(Fault("", f"flag {flag}", "needs a value"))
        elif flag == CONFIG:
            self.config = text
        elif flag == SECRETS_DIR:
            self.secrets_dir = text
        else:
            self.texts[_FLAGS[flag].path] = text.strip()


def _unknown(position: int, flag: str) -> Fault:
    """A fault that leaves out a flag which may have a secret grown on to it."""
    if not _PLAIN_FLAG.fullmatch(flag) or any(flag.startswith(name.flag) for name in _secrets()):
        return Fault(
            "", f"argument {position}", "is an unknown flag; a flag and its value are separated by = or a space"
        )
    return Fault("", f"flag {flag}", unknown_name(flag, (*_PLACES, *_FLAGS)))


def _secrets() -> Iterator[SettingName]:
    return (name for name in NAMES.values() if name.is_secret)
