"""The YAML settings file, read as a tree of texts that remembers its lines.

Every scalar stays the text that was written, so a value means the same here, in a variable and in a flag: `0123` is
no octal number and `no` is no boolean where a name is expected. Aliases and repeated keys are faults.
"""

from pathlib import Path

import yaml

from config.faults import Fault
from config.names import NAMES, Keys, path_of

Tree = dict[str, object]

_NULL = "tag:yaml.org,2002:null"


class _Loader(yaml.SafeLoader):
    """Only ever used to compose nodes: no object is constructed from a tag."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # types-pyyaml leaves it untyped
            raise yaml.composer.ComposerError(problem_mark=mark)
        return super().compose_node(parent, index)


class SettingsFile:
    """What a settings file says, where it says it, and what is wrong with its form."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.sources: dict[Keys, str] = {}
        self.faults: list[Fault] = []
        self.tree = self._root(text)
        """None where the file cannot be read, so that nothing is known about what it sets."""

    def _root(self, text: str) -> Tree | None:
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            self._broken(error.problem_mark)
            return None
        except yaml.YAMLError:
            self._refuse(self.name, "holds characters that YAML does not allow")
            return None
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            self._refuse(self.name, "must hold settings as lines of `key: value`")
            return None
        return self._mapping(node, ())

    def _broken(self, mark: yaml.Mark | None) -> None:
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        hint = (
            "look there and a line above for indentation, tabs, colons without a space, missing quotes or an alias (*)"
        )
        self._refuse(self.name, f"is not YAML{place}; {hint}")

    def _refuse(self, source: str, problem: str) -> None:
        self.faults.append(Fault("", source, problem))

    def _mapping(self, mapping: yaml.MappingNode, keys: Keys) -> Tree:
        tree: Tree = {}
        for key, node in mapping.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            inner = (*keys, name)
            if name in tree:
                what = path_of(inner) if path_of(inner) in NAMES else "a key"
                self._refuse(self._source(key), f"gives {what} a second time; keep one of the two")
            tree[name] = self._value(node, inner)
        return tree

    def _value(self, node: yaml.Node, keys: Keys) -> object:
        self.sources[keys] = self._source(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*keys, index)) for index, item in enumerate(node.value)]
        text = str(node.value).strip()
        return None if node.tag == _NULL else text

    def _source(self, node: yaml.Node) -> str:
        return f"{self.name} line {node.start_mark.line + 1}"


def read_settings_file(path: Path) -> SettingsFile | Fault:
    """The file at `path`, or why it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        return Fault("", str(path), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return Fault("", str(path), "is not text in UTF-8")
    return SettingsFile(str(path), text)
