"""What several sources say about the settings, laid over each other, and the verdict on the result.

Every value keeps the name of its source, so that a fault can say where to look.
"""

import json
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from config.faults import Fault, Problem, problems_in, shown_path
from config.file import Tree
from config.names import NAMES, Keys, SettingName, get_name, keys_of, path_of
from config.rules import find_breaches
from config.settings import Settings

_YAML_SWITCHES = {"yes": "true", "on": "true", "no": "false", "off": "false"}  # YAML 1.1, which Go's parser accepts
_STAND_IN_HOST = "https://gitlab.invalid"  # lets the rules judge the rest while auth.host is at fault


class Layers:
    """A tree of texts that starts as the settings file says and takes what lies over it."""

    def __init__(self, tree: Tree, sources: Mapping[Keys, str]) -> None:
        self._tree: Tree = {"auth": {}, **tree}
        self._sources = dict(sources)
        self._faults: list[Fault] = []
        for name in NAMES.values():
            self._tidy(name)

    def lay(self, name: SettingName, text: str, source: str) -> None:
        """Puts a text over what was there; an empty one says nothing, unless it is meant (see SettingName)."""
        text = text.strip()
        if not _is_unicode(text):
            self._faults.append(Fault(name.path, source, "is not text in UTF-8"))
        group = self._group(name.keys)
        if group is not None and (text or name.is_blank_meant):
            group[_last(name.keys)] = self._table(name, text, source) if name.columns else text
            parts = [keys for keys in self._sources if keys[: len(name.keys)] == name.keys]
            for keys in parts:
                del self._sources[keys]
            self._sources[name.keys] = source

    def check(self) -> tuple[Settings | None, tuple[Fault, ...]]:
        """The settings if they are valid one by one, and everything that is wrong with them."""
        settings, problems = _validated(self._tree)
        self._faults += [self._fault(problem.keys, problem.sentence) for problem in problems]
        sound = settings or self._sound_part(problems)
        if sound is not None:
            self._faults += self._breaches(sound, problems)
        return settings, tuple(self._faults)

    def _breaches(self, sound: Settings, problems: tuple[Problem, ...]) -> Iterator[Fault]:
        """The broken rules, but for those about a setting that is already reported."""
        for breach in find_breaches(sound):
            places = [keys_of(path) for path in breach.paths]
            if not any(_overlap(keys, problem.keys) for keys in places for problem in problems):
                yield self._fault(places[0], breach.problem)

    def _tidy(self, name: SettingName) -> None:
        """Reads an empty value and YAML's own booleans of the file as the other sources would write them."""
        group, key = self._group(name.keys), _last(name.keys)
        if group is None or key not in group:
            return
        value = group[key]
        if value is None or (value == "" and not name.is_blank_meant):
            del group[key]
            self._sources.pop(name.keys, None)
        elif name.is_switch:
            group[key] = _YAML_SWITCHES.get(str(value).lower(), value)

    def _table(self, name: SettingName, text: str, source: str) -> object:
        try:
            return json.loads(text, parse_int=str, parse_float=str)
        except ValueError:
            problem = f"is not JSON; write a list of objects with {name.columns}"
        self._faults.append(Fault(name.path, source, problem))
        return []

    def _group(self, keys: Keys) -> Tree | None:
        """The group a setting belongs to, or None where something else stands in its place."""
        group = self._tree
        for key in map(str, keys[:-1]):
            inner = group.get(key)
            if inner is None:
                inner = group[key] = {}
            if not isinstance(inner, dict):
                return None
            group = inner
        return group

    def _sound_part(self, problems: tuple[Problem, ...]) -> Settings | None:
        """What the settings are when each one that is not valid is left out."""
        for problem in problems:
            _leave_out(self._tree, problem.keys)
        auth = self._group(("auth", "host"))
        if auth is not None:
            auth.setdefault("host", _STAND_IN_HOST)
        return _validated(self._tree)[0]

    def _fault(self, keys: Keys, problem: str) -> Fault:
        return Fault(shown_path(keys), self._source(keys), problem)

    def _source(self, keys: Keys) -> str:
        name = get_name(path_of(keys))
        if name is not None and name.keys not in self._sources:
            return f"default {name.default}; {name.ways}" if name.default else f"not set; {name.ways}"
        upwards = (keys[:length] for length in range(len(keys), 0, -1))
        return next((self._sources[place] for place in upwards if place in self._sources), "settings")


def _leave_out(tree: Tree, keys: Keys) -> None:
    """Removes the innermost thing with a name on the way to a fault."""
    key, deeper = str(keys[0]), keys[1:]
    inner = tree.get(key)
    if isinstance(inner, dict) and deeper:
        _leave_out(inner, deeper)
    else:
        tree.pop(key, None)


def _overlap(one: Keys, other: Keys) -> bool:
    """Whether one is the other or a part of it."""
    return all(left == right for left, right in zip(one, other, strict=False))


def _validated(tree: Tree) -> tuple[Settings | None, tuple[Problem, ...]]:
    try:
        return Settings.model_validate(tree), ()
    except ValidationError as error:
        return None, problems_in(error)


def _is_unicode(text: str) -> bool:
    """Whether it was UTF-8 where the operating system handed it over (PEP 383)."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _last(keys: Keys) -> str:
    return str(keys[-1])
