"""Reads the Dockerfile: the instructions of its stages, as far as this project uses the format.

https://docs.docker.com/reference/dockerfile/. What is not known here is refused instead of passed over.
"""

import fnmatch
import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]


_TEXTS = {"WORKDIR": "folder", "USER": "user", "STOPSIGNAL": "stop_signal"}


class NotUnderstood(Exception):
    """An instruction, or a form of one, that this reader does not know."""


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY of one source."""

    source: str
    target: str
    stage: str
    """The stage it comes from; empty for the build context."""


@dataclass(frozen=True, slots=True)
class Run:
    """RUN of a shell command."""

    command: str


@dataclass
class Stage:
    """One stage, with what the image of it would say about itself."""

    base: str
    name: str = ""
    steps: list[Copy | Run] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = ""
    ports: tuple[int, ...] = ()
    stop_signal: str = ""
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)


def read_dockerfile(text: str) -> list[Stage]:
    """Its stages in order; the last one is the image."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append(_from(rest))
        elif not stages:
            raise NotUnderstood(line)
        else:
            _take(stages[-1], word, rest.strip())
    return stages


def _from(rest: str) -> Stage:
    base, *alias = rest.split()
    if alias and (len(alias) != 2 or alias[0] != "AS"):
        raise NotUnderstood(f"FROM {rest}")
    return Stage(base, alias[1] if alias else "")


def _take(stage: Stage, word: str, rest: str) -> None:
    match word:
        case "RUN":
            stage.steps.append(Run(rest))
        case "COPY":
            stage.steps.append(_copy(rest))
        case "ENV":
            name, _, value = rest.partition("=")
            if "$" in value or '"' in value:
                raise NotUnderstood(f"ENV {rest}")
            stage.env[name] = value
        case "EXPOSE":
            stage.ports = tuple(map(int, rest.split()))
        case "HEALTHCHECK":
            stage.health = json.loads(rest[rest.index("CMD ") + 4 :])
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        case _ if word in _TEXTS:
            setattr(stage, _TEXTS[word], rest)
        case _:
            raise NotUnderstood(f"{word} {rest}")


def _copy(rest: str) -> Copy:
    words = shlex.split(rest)
    stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else ""
    if len(words) != 2 or words[0].startswith("--"):
        raise NotUnderstood(f"COPY {rest}")
    return Copy(words[0], words[1], stage)


def is_ignored(path: PurePosixPath, rules: list[str]) -> bool:
    """Whether .dockerignore keeps a file out of the build context: the last rule that fits it or a folder above it."""
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        if any(_fits(place, pattern) for place in (path, *path.parents)):
            ignored = not rule.startswith("!")
    return ignored


def _fits(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatch(path.name, pattern[3:])
    return len(path.parts) == pattern.count("/") + 1 and fnmatch.fnmatch(str(path), pattern)


def read_rules(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
