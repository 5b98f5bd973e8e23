"""What several sources say about the settings, laid over each other, and the verdict on the result.

Every value keeps the name of its source, so that a fault can say where to look.
"""

import json
from collections.abc import Mapping

from pydantic import ValidationError

from config.faults import Fault, Problem, problems_in, shown_path
from config.file import Tree
from config.names import NAMES, SettingName, name_of
from config.rules import find_breaches
from config.settings import Settings

_YAML_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # YAML 1.1, which Go's parser accepts
_STAND_IN_HOST = "https://gitlab.invalid"  # lets the rules judge the rest while auth.host is at fault


class Layers:
    """A tree of texts that starts as the settings file says and takes what lies over it."""

    def __init__(self, tree: Tree, sources: Mapping[str, str]) -> None:
        self._tree: Tree = {"auth": {}, **tree}
        self._sources = dict(sources)
        self._faults: list[Fault] = []
        for name in NAMES.values():
            self._tidy(name)

    def lay(self, name: SettingName, text: str, source: str) -> None:
        """Puts a text over what was there; an empty one says nothing, unless it is meant (see SettingName)."""
        text = text.strip()
        group = self._group(name.path)
        if group is not None and (text or name.is_blank_meant):
            group[_key(name.path)] = self._table(name, text, source) if name.columns else text
            self._sources[name.path] = source

    def check(self) -> tuple[Settings | None, tuple[Fault, ...]]:
        """The settings if they are valid one by one, and everything that is wrong with them."""
        settings, problems = _validated(self._tree)
        self._faults += [self._fault(problem.path, problem.sentence) for problem in problems]
        sound = settings or self._sound_part(problems)
        faulty = {problem.path.partition("[")[0] for problem in problems}
        breaches = find_breaches(sound) if sound else ()
        for breach in breaches:
            if not any(_is_within(path, faulty) for path in breach.paths):
                self._faults.append(self._fault(breach.paths[0], breach.problem))
        return settings, tuple(self._faults)

    def _tidy(self, name: SettingName) -> None:
        """Reads an empty value and YAML's own booleans of the file as the other sources would write them."""
        group, key = self._group(name.path), _key(name.path)
        value = group.get(key) if group else None
        if group is None or not isinstance(value, str):
            return
        if not value and not name.is_blank_meant:
            del group[key]
        elif name.is_switch:
            group[key] = _YAML_SWITCHES.get(value.lower(), value)

    def _table(self, name: SettingName, text: str, source: str) -> object:
        try:
            return json.loads(text, parse_int=str, parse_float=str)
        except ValueError:
            problem = f"is not JSON; write a list of objects with {name.columns}"
        self._faults.append(Fault(name.path, source, problem))
        return []

    def _group(self, path: str) -> Tree | None:
        """The group a setting belongs to, or None where something else stands in its place."""
        group = self._tree
        for key in path.split(".")[:-1]:
            inner = group.setdefault(key, {})
            if not isinstance(inner, dict):
                return None
            group = inner
        return group

    def _sound_part(self, problems: tuple[Problem, ...]) -> Settings | None:
        """What the settings are when each one that is not valid is left out."""
        for problem in problems:
            _leave_out(self._tree, problem.keys)
        auth = self._group("auth.host")
        if auth is not None:
            auth.setdefault("host", _STAND_IN_HOST)
        return _validated(self._tree)[0]

    def _fault(self, path: str, problem: str) -> Fault:
        return Fault(shown_path(path), self._source(path), problem)

    def _source(self, path: str) -> str:
        name = name_of(path)
        known = [place for place in _upwards(path) if place in self._sources]
        if name is None or name.path in self._sources:
            return self._sources[known[0]] if known else "settings"
        return f"default {name.default}; {name.ways}" if name.default else f"not set; {name.ways}"


def _leave_out(tree: Tree, keys: tuple[int | str, ...]) -> None:
    """Removes the innermost thing with a name on the way to a fault."""
    key, *deeper = keys
    inner = tree.get(str(key))
    if isinstance(inner, dict) and deeper:
        _leave_out(inner, tuple(deeper))
    else:
        tree.pop(str(key), None)


def _validated(tree: Tree) -> tuple[Settings | None, tuple[Problem, ...]]:
    try:
        return Settings.model_validate(tree), ()
    except ValidationError as error:
        return None, problems_in(error)


def _key(path: str) -> str:
    return path.rpartition(".")[2]


def _upwards(path: str) -> list[str]:
    """The path and everything it is a part of, from the inside out."""
    cuts = [index for index, character in enumerate(path) if character in ".["]
    return [path, *(path[:cut] for cut in reversed(cuts))]


def _is_within(path: str, places: set[str]) -> bool:
    return any(path == place or path.startswith((f"{place}.", f"{place}[")) for place in places)
