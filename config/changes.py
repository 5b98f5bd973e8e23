"""What is different between two settings, and which differences only a new process can make. Pure."""

from operator import attrgetter

from config.names import NAMES, SettingName
from config.section import Change
from config.settings import Settings


def find_changes(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """The paths of all settings that differ."""
    return tuple(path for path in NAMES if attrgetter(path)(running) != attrgetter(path)(wanted))


def find_restarts(running: Settings, wanted: Settings) -> tuple[str, ...]:
    """Those among them that a running gateway cannot take up."""
    changed = (NAMES[path] for path in find_changes(running, wanted))
    return tuple(name.path for name in changed if _needs_restart(name, running, wanted))


def _needs_restart(name: SettingName, running: Settings, wanted: Settings) -> bool:
    match name.change:
        case Change.RESTART:
            return True
        case Change.NO_SWITCH:
            return None in (attrgetter(name.path)(running), attrgetter(name.path)(wanted))
        case None:
            return False
