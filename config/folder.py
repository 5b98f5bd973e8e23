"""A folder with a file for each setting: how Kubernetes mounts a Secret whose keys are the paths of settings.

Unlike a variable, a file can change while the process runs. Names that begin with a dot are Kubernetes' own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.faults import Fault, unknown_name
from config.names import NAMES, SettingName


@dataclass(frozen=True, slots=True)
class Entry:
    """What one file says."""

    name: SettingName
    text: str
    source: str


def read_settings_folder(folder: Path) -> Iterator[Entry | Fault]:
    """Every setting in the folder, and what cannot be used of it. No content is ever quoted."""
    try:
        files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    except OSError as error:
        yield Fault("", str(folder), f"cannot be read: {error.strerror}")
        return
    for file in files:
        yield _read(file)


def _read(file: Path) -> Entry | Fault:
    name = NAMES.get(file.name)
    if name is None:
        return Fault("", str(file), unknown_name(file.name, tuple(NAMES)))
    try:
        return Entry(name, file.read_text(encoding="utf-8-sig"), str(file))
    except OSError as error:
        return Fault(name.path, str(file), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return Fault(name.path, str(file), "is not text in UTF-8")
