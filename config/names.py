"""The name of every setting in the file, in the environment and as a flag, derived from the model.

A field's path (`auth.client_id`) is its place in the YAML file; AUTH_CLIENT_ID and --auth-client-id follow from it.
There is no table to keep in step: a new field has its three names at once.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from config.section import Change, Section
from config.settings import Settings

Keys = tuple[int | str, ...]  # the way to a value from the top of the settings

_USAGE = """\
Every setting is a key of the YAML file, a file of a folder, an environment variable and a flag; a flag wins over the
environment, the environment over the folder, and the folder over the file. Lists are separated by commas, durations
are seconds, sizes bytes. Secrets belong in the file, the folder or the environment: everybody on the machine can read
the flags of a process. File and folder are read again when they change, and at SIGHUP; what is marked (restart) needs
a new process.

  --config FILE
      The YAML file. The dots of a name are its nesting: `auth.host` is `host:` below `auth:`.
  --secrets-dir FOLDER
      A folder with a file for each setting, named as the setting: `auth.client_secret`. So Kubernetes mounts a Secret.
"""


@dataclass(frozen=True, slots=True)
class SettingName:
    """One setting: how it is called, and what it is when nobody sets it."""

    path: str
    section: str
    """What the group it belongs to is for."""
    field: FieldInfo

    @property
    def keys(self) -> Keys:
        return keys_of(self.path)

    @property
    def env(self) -> str:
        return self.path.replace(".", "_").upper()

    @property
    def flag(self) -> str:
        return f"--{self.path.replace('.', '-').replace('_', '-')}"

    @property
    def default(self) -> str:
        """The default as an operator would write it, empty where there is none."""
        value = self.field.default
        if self.field.is_required() or value in (None, (), SecretStr("")):
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    @property
    def doc(self) -> str:
        return self.field.description or ""

    @property
    def is_switch(self) -> bool:
        return self.field.annotation is bool

    @property
    def is_secret(self) -> bool:
        return SecretStr in (self.field.annotation, *get_args(self.field.annotation))

    @property
    def change(self) -> Change | None:
        """How it changes in a gateway that runs, where that is not simply at once."""
        return next((mark for mark in self.field.metadata if isinstance(mark, Change)), None)

    @property
    def columns(self) -> str:
        """The keys of one entry where the setting is a list of groups, which a comma list cannot express."""
        groups = [part for part in get_args(self.field.annotation) if _is_section(part)]
        return ", ".join(key for group in groups for key in group.model_fields)

    @property
    def is_blank_meant(self) -> bool:
        """Whether an empty value replaces the default, as it does for the texts of the original."""
        return isinstance(self.field.default, str) and self.field.default != ""

    @property
    def ways(self) -> str:
        """Where to set it; a secret has no business among a process's arguments, where `ps` shows it."""
        return self.env if self.is_secret else f"{self.env} or {self.flag}"


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _walk(model: type[Section], prefix: str = "") -> Iterator[SettingName]:
    for key, field in model.model_fields.items():
        annotation: Any = field.annotation
        if _is_section(annotation):
            yield from _walk(annotation, f"{prefix}{key}.")
        else:
            yield SettingName(f"{prefix}{key}", " ".join((model.__doc__ or "").split()), field)


NAMES = {name.path: name for name in _walk(Settings)}


def describe_settings() -> tuple[SettingName, ...]:
    """Every setting in the order of the model."""
    return tuple(NAMES.values())


def settings_help() -> str:
    """What `serve --help` prints: every setting with its flag, environment variable and default."""
    groups = groupby(describe_settings(), key=lambda name: name.section)
    return "\n".join([_USAGE, *(_group_help(section, list(names)) for section, names in groups)])


def _group_help(section: str, names: list[SettingName]) -> str:
    return "\n".join([section, *(_setting_help(name) for name in names), ""])


def _setting_help(name: SettingName) -> str:
    default = f"  [{name.default}]" if name.default else ""
    restart = "  (restart)" if name.change is Change.RESTART else ""
    head = f"  {name.flag}  {name.env}{default}{restart}"
    doc = textwrap.wrap(name.doc.replace("`", ""), width=104, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join([head, *doc])


def path_of(keys: Keys) -> str:
    """`visibility.rules[0].max`, as operators know it."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def keys_of(path: str) -> Keys:
    """The way that `path` names; the reverse of `path_of` for names of settings."""
    return tuple(int(key) if key.isdigit() else key for key in re.findall(r"[^.\[\]]+", path))


def get_name(path: str) -> SettingName | None:
    """The setting that `path` is, or is a part of, such as `routing.zones[1]`."""
    return NAMES.get(path.partition("[")[0])
