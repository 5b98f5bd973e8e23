"""Reads the settings: the YAML file, over it the folder of files, the environment, and at last the flags.

The closer a source is to this one process, the more it counts: file and folder may be shared by many, and a variable or
a flag is what somebody set for this one.

Either everything is right and the result is frozen settings, or `SettingsError` lists every fault at once. This is
the only place of the project that reads `os.environ`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.faults import Fault, SettingsError
from config.file import SettingsFile, read_settings_file
from config.flags import Flags
from config.folder import Entry, read_settings_folder
from config.layers import Layers
from config.names import NAMES, describe_settings, settings_help
from config.settings import Settings

__all__ = ["Fault", "SettingsError", "Sources", "describe_settings", "environment", "load_settings", "settings_help"]


def environment() -> Mapping[str, str]:
    """The environment, for commands that have no settings."""
    return os.environ


class Sources:
    """Where one process has its settings from: its flags, the file and the folder that they name, its environment."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
        self._flags = Flags(argv)
        self._environ = environ
        self._file = Path(self._flags.config) if self._flags.config else None
        self._folder = Path(self._flags.secrets_dir) if self._flags.secrets_dir else None

    @property
    def paths(self) -> tuple[Path, ...]:
        """What may change while the process runs: the file and the folder, as far as there are any."""
        return tuple(path for path in (self._file, self._folder) if path is not None)

    def load(self) -> Settings:
        """What all of them say now.

        Raises:
            SettingsError: if anything is wrong with it.
        """
        flags, environ = self._flags, self._environ
        file = read_settings_file(self._file) if self._file else SettingsFile("", "")
        entries = list(read_settings_folder(self._folder)) if self._folder else []
        unread = [entry for entry in entries if isinstance(entry, Fault)]
        if isinstance(file, Fault):
            raise SettingsError((*flags.faults, file, *unread))
        if file.tree is None:
            raise SettingsError((*flags.faults, *file.faults, *unread))
        layers = Layers(file.tree, file.sources)
        for entry in entries:
            if isinstance(entry, Entry):
                layers.lay(entry.name, entry.text, entry.source)
        for name in NAMES.values():
            if name.env in environ:
                layers.lay(name, environ[name.env], f"environment {name.env}")
            if name.path in flags.texts:
                layers.lay(name, flags.texts[name.path], f"flag {name.flag}")
        settings, faults = layers.check()
        faults = (*flags.faults, *file.faults, *unread, *faults)
        if settings is None or faults:
            raise SettingsError(faults)
        return settings


def load_settings(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that flags and an environment give, and the files the flags name; or a SettingsError."""
    return Sources(argv, environ).load()
