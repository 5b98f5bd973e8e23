"""Reads the settings: the YAML file, over it the environment, over that the flags.

Either everything is right and the result is frozen settings, or `SettingsError` lists every fault at once. This is
the only place of the project that reads `os.environ`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.faults import Fault, SettingsError
from config.file import SettingsFile, read_settings_file
from config.flags import Flags
from config.layers import Layers
from config.names import NAMES, describe_settings, settings_help
from config.settings import Settings

__all__ = ["Fault", "SettingsError", "describe_settings", "environment", "load_settings", "settings_help"]


def environment() -> Mapping[str, str]:
    """The environment, for commands that have no settings."""
    return os.environ


def load_settings(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that flags and an environment give, and the file the flags name; or a SettingsError."""
    flags = Flags(argv)
    file = read_settings_file(Path(flags.config)) if flags.config else SettingsFile("", "")
    if isinstance(file, Fault):
        raise SettingsError((*flags.faults, file))
    if file.tree is None:
        raise SettingsError((*flags.faults, *file.faults))
    layers = Layers(file.tree, file.sources)
    for name in NAMES.values():
        if name.env in environ:
            layers.lay(name, environ[name.env], f"environment {name.env}")
        if name.path in flags.texts:
            layers.lay(name, flags.texts[name.path], f"flag {name.flag}")
    settings, faults = layers.check()
    faults = (*flags.faults, *file.faults, *faults)
    if settings is None or faults:
        raise SettingsError(faults)
    return settings
