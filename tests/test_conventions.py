"""The conventions of the code that no linter knows: who imports whom, what a module is called and opens with.

A rule is a function from all modules to its breaches. Each is tried on the project, on small examples that break it
and on small examples that keep it: a rule that cannot fail would be worthless.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("config", "routing", "auth", "gateway")
MAY_IMPORT = {
    "config": ("config",),
    "routing": ("routing", "config.settings"),
    "auth": ("auth", "config.settings"),
    "gateway": PACKAGES,
    "tests": (*PACKAGES, "tests"),
}
LIBRARIES = {
    "asyncssh": ("gateway/ssh/", "gateway/demo/"),
    "httptools": ("gateway/http/",),
    "kubernetes": ("routing/kubernetes.py",),
    "kubernetes_asyncio": ("routing/kubernetes.py",),
}
ASYNCSSH_EXTENDED = "gateway/ssh/internals/"
ENVIRONMENT_READER = "config/load.py"
MAX_LINES = 400  # a longer module holds two ideas
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "misc", "common", "manager"})
SILENCED = re.compile(r"#\s*(ruff:\s*)?noqa|#\s*type:\s*ignore", re.IGNORECASE)
SILENCED_BY_CODE = re.compile(r"# (ruff: )?noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|# type: ignore\[[a-z, -]+\]")
REASON = re.compile(r"\s+(-|#) \S+")


@dataclass(frozen=True)
class Module:
    """A Python file of the project."""

    path: str
    """From the project's root, with slashes."""
    text: str = field(repr=False)

    @property
    def name(self) -> str:
        return ".".join(PurePosixPath(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def is_shipped(self) -> bool:
        return self.top in PACKAGES

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """The line and the dotted name of everything imported, inside functions too."""
        return [found for node in self.nodes for found in _imported(node, self)]

    def breach(self, line: int, problem: str) -> str:
        return f"{self.path}:{line}: {problem}"


Rule = Callable[[list[Module]], list[str]]


def _imported(node: ast.AST, module: Module) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, module)
        yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    if not node.level:
        return str(node.module)
    parts = PurePosixPath(module.path).parts[: -node.level]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _is_at_or_below(name: str, place: str) -> bool:
    return name == place or name.startswith(f"{place}.")


def folders_import_downwards_only(modules: list[Module]) -> list[str]:
    """config, routing and auth know each other only by their settings, and nothing knows the gateway."""
    return [
        module.breach(line, f"{module.top} must not import {name}")
        for module in modules
        for line, name in module.imports
        if name.partition(".")[0] in MAY_IMPORT
        and not any(_is_at_or_below(name, place) for place in MAY_IMPORT[module.top])
    ]


def libraries_stay_in_their_place(modules: list[Module]) -> list[str]:
    """A library whose details we depend on is met in one place only."""
    return [
        module.breach(line, f"{name.partition('.')[0]} may only be imported in {' and '.join(places)}")
        for module in modules
        if module.is_shipped
        for line, name in module.imports
        for places in [LIBRARIES.get(name.partition(".")[0])]
        if places and not module.path.startswith(places)
    ]


def connections_of_asyncssh_are_extended_in_one_place(modules: list[Module]) -> list[str]:
    """What depends on private names of asyncssh stays together; SLF001 of ruff sees to the names themselves."""
    return [
        module.breach(node.lineno, f"{base} is extended in {ASYNCSSH_EXTENDED} only")
        for module in modules
        if module.is_shipped and not module.path.startswith(ASYNCSSH_EXTENDED)
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
        for base in map(ast.unparse, node.bases)
        if re.search(r"\b(SSH\w*Connection|\w*Leg)$", base)
    ]


def imports_have_no_cycle(modules: list[Module]) -> list[str]:
    """No module needs itself, by whatever way round."""
    graph = _import_graph(modules)
    cycles = [path for path in map(graph.cycle_through, graph.edges) if path]
    return sorted({f"{' -> '.join(path)}: imports form a cycle" for path in cycles if path[0] == min(path)})


@dataclass(frozen=True)
class ImportGraph:
    edges: Mapping[str, frozenset[str]]

    def cycle_through(self, start: str) -> list[str]:
        """The shortest way from a module back to itself, or nothing."""
        paths = [[start]]
        seen: set[str] = set()
        for path in paths:
            for name in sorted(self.edges[path[-1]]):
                if name == start:
                    return [*path, start]
                if name not in seen:
                    seen.add(name)
                    paths.append([*path, name])
        return []


def _import_graph(modules: list[Module]) -> ImportGraph:
    names = {module.name for module in modules}
    edges = {
        module.name: frozenset(
            place
            for _line, name in module.imports
            for place in _with_parents(name)
            if place in names and (place != module.name or name == place)
        )
        for module in modules
    }
    return ImportGraph(edges)


def _with_parents(name: str) -> Iterable[str]:
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def environment_is_read_in_one_place(modules: list[Module]) -> list[str]:
    """Only the loader of the settings reads the environment."""
    return [
        module.breach(getattr(node, "lineno", 0), f"the environment is read in {ENVIRONMENT_READER} only")
        for module in modules
        if module.is_shipped and module.path != ENVIRONMENT_READER
        for node in module.nodes
        if _reads_environment(node)
    ]


def _reads_environment(node: ast.AST) -> bool:
    readers = {"environ", "environb", "getenv", "getenvb"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in readers for alias in node.names)
    is_of_os = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    return is_of_os and isinstance(node, ast.Attribute) and node.attr in readers


def types_are_imported_at_run_time(modules: list[Module]) -> list[str]:
    """An import for the type checker alone would hide a cycle."""
    return [
        module.breach(getattr(node, "lineno", 0), "TYPE_CHECKING hides import cycles")
        for module in modules
        for node in module.nodes
        if "TYPE_CHECKING" in (getattr(node, "id", None), getattr(node, "attr", None))
    ]


def modules_say_what_they_are_for(modules: list[Module]) -> list[str]:
    """A shipped module opens with what it is for."""
    return [
        module.breach(1, "the module does not open with a docstring")
        for module in modules
        if module.is_shipped and not ast.get_docstring(module.tree)
    ]


def modules_are_short(modules: list[Module]) -> list[str]:
    """A shipped module holds one idea."""
    return [
        module.breach(MAX_LINES, f"{lines} lines are more than {MAX_LINES}")
        for module in modules
        for lines in [len(module.text.splitlines())]
        if module.is_shipped and lines > MAX_LINES
    ]


def modules_are_named_after_a_noun(modules: list[Module]) -> list[str]:
    """No module has a name that anything would fit into."""
    return [
        module.breach(1, f"{part} says nothing about the module")
        for module in modules
        for part in module.name.split(".")
        if part in VAGUE_NAMES
    ]


def functions_do_as_their_names_say(modules: list[Module]) -> list[str]:
    """`find_*` finds or raises; what may have nothing to give is `get_*`; `is_*` and `has_*` never wait."""
    return [
        module.breach(node.lineno, f"{node.name} {problem}")
        for module in modules
        for node in module.nodes
        if module.is_shipped and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for problem in [_broken_promise(node)]
        if problem
    ]


def _broken_promise(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    name, returned = function.name.lstrip("_"), ast.unparse(function.returns) if function.returns else ""
    if name.startswith("find_") and "None" in returned.split(" | ")[1:]:
        return "may find nothing and does not raise"
    if name.startswith(("is_", "has_")) and isinstance(function, ast.AsyncFunctionDef):
        return "waits"
    return ""


def silenced_checks_have_a_reason(modules: list[Module]) -> list[str]:
    """A silenced linter or type checker is silenced by code and with a reason on the same line."""
    return [
        module.breach(line, f"{comment!r} lacks its code or its reason")
        for module in modules
        for line, comment in _comments(module.text)
        if not _is_argued(comment)
    ]


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _is_argued(comment: str) -> bool:
    if not SILENCED.search(comment):
        return True
    rest = SILENCED_BY_CODE.sub("", comment)
    return not SILENCED.search(rest) and REASON.search(rest) is not None


def skipped_tests_have_a_reason(modules: list[Module]) -> list[str]:
    """A test that does not run says why."""
    return [
        breach
        for module in modules
        for calls in [{id(node.func): node for node in module.nodes if isinstance(node, ast.Call)}]
        for node in module.nodes
        for breach in _unargued_skip(module, node, calls)
    ]


def _unargued_skip(module: Module, node: ast.AST, calls: Mapping[int, ast.Call]) -> Iterator[str]:
    if not isinstance(node, ast.Attribute) or not ast.unparse(node).startswith("pytest."):
        return
    call = calls.get(id(node))
    keywords = {keyword.arg for keyword in call.keywords} if call else set()
    is_told = bool(call and call.args and node.attr == "skip")
    if node.attr in {"skip", "skipif", "xfail", "importorskip"} and "reason" not in keywords and not is_told:
        yield module.breach(node.lineno, f"{ast.unparse(node)} lacks a reason")


RULES: list[Rule] = [
    folders_import_downwards_only,
    libraries_stay_in_their_place,
    connections_of_asyncssh_are_extended_in_one_place,
    imports_have_no_cycle,
    environment_is_read_in_one_place,
    types_are_imported_at_run_time,
    modules_say_what_they_are_for,
    modules_are_short,
    modules_are_named_after_a_noun,
    functions_do_as_their_names_say,
    silenced_checks_have_a_reason,
    skipped_tests_have_a_reason,
]


@pytest.fixture(scope="module")
def project() -> list[Module]:
    """Every module of the project."""
    paths = [path for folder in MAY_IMPORT for path in sorted((ROOT / folder).rglob("*.py"))]
    return [Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def examples(files: Mapping[str, str]) -> list[Module]:
    return [Module(path, text) for path, text in files.items()]


def test_project_is_found(project: list[Module]) -> None:
    """The rules see all packages, so that their silence means something."""
    assert {module.top for module in project} == set(MAY_IMPORT)
    assert ENVIRONMENT_READER in {module.path for module in project}


def test_every_package_is_installed(project: list[Module]) -> None:
    """A package that pyproject.toml does not list is missing wherever the project is not run from its folder."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]

    packages = {module.name for module in project if module.is_shipped and module.path.endswith("__init__.py")}
    assert set(told) == packages


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_project_keeps_the_rule(project: list[Module], rule: Rule) -> None:
    """No module of the project breaks the rule."""
    breaches = rule(project)

    assert not breaches, "\n".join(["", *breaches])


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (folders_import_downwards_only, "auth/a.py", "import routing"),
        (folders_import_downwards_only, "auth/a.py", "from routing.model import Route"),
        (folders_import_downwards_only, "auth/a.py", "from config.load import load_settings"),
        (folders_import_downwards_only, "auth/a.py", "from config import load"),
        (folders_import_downwards_only, "auth/a.py", "def f():\n    import routing.table"),
        (folders_import_downwards_only, "routing/a.py", "import auth.model"),
        (folders_import_downwards_only, "routing/a.py", "from ..auth import model"),
        (folders_import_downwards_only, "config/a.py", "from auth.model import User"),
        (folders_import_downwards_only, "config/a.py", "import gateway.app"),
        (folders_import_downwards_only, "gateway/a.py", "from tests.conftest import project"),
        (libraries_stay_in_their_place, "gateway/app.py", "import asyncssh"),
        (libraries_stay_in_their_place, "gateway/http/a.py", "from asyncssh.packet import String"),
        (libraries_stay_in_their_place, "gateway/sshd.py", "import asyncssh"),
        (libraries_stay_in_their_place, "gateway/ssh/a.py", "import httptools"),
        (libraries_stay_in_their_place, "routing/a.py", "from kubernetes_asyncio import client"),
        (connections_of_asyncssh_are_extended_in_one_place, "gateway/ssh/a.py", "class A(Leg): ..."),
        (connections_of_asyncssh_are_extended_in_one_place, "gateway/a.py", "class A(b.SSHServerConnection): ..."),
        (imports_have_no_cycle, "auth/a.py", "import auth.a"),
        (imports_have_no_cycle, "auth/__init__.py", "import auth"),
        (environment_is_read_in_one_place, "auth/a.py", "import os\nhome = os.environ['HOME']"),
        (environment_is_read_in_one_place, "auth/a.py", "import os\nhome = os.getenv('HOME')"),
        (environment_is_read_in_one_place, "config/a.py", "from os import environ"),
        (types_are_imported_at_run_time, "auth/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING: ..."),
        (types_are_imported_at_run_time, "tests/a.py", "import typing\nif typing.TYPE_CHECKING: ..."),
        (modules_say_what_they_are_for, "auth/a.py", "import re"),
        (modules_say_what_they_are_for, "auth/__init__.py", ""),
        (modules_say_what_they_are_for, "auth/a.py", '""""""'),
        (modules_are_short, "auth/a.py", "x = 1\n" * (MAX_LINES + 1)),
        (modules_are_named_after_a_noun, "auth/utils.py", ""),
        (modules_are_named_after_a_noun, "gateway/common/a.py", ""),
        (modules_are_named_after_a_noun, "tests/helpers.py", ""),
        (functions_do_as_their_names_say, "auth/a.py", "def find_a() -> A | None: ..."),
        (functions_do_as_their_names_say, "auth/a.py", "class A:\n    async def _find_b(self) -> B | C | None: ..."),
        (functions_do_as_their_names_say, "auth/a.py", "async def is_a() -> bool: ..."),
        (functions_do_as_their_names_say, "auth/a.py", "async def _has_a() -> bool: ..."),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # noqa"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # noqa: S105"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # NOQA - because"),
        (silenced_checks_have_a_reason, "auth/a.py", "# ruff: noqa\nx = 1"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # type: ignore"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # type: ignore[misc]"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # type: ignore  # because"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # type: ignore[misc]  # noqa: S105"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # type: ignore[misc]  # noqa - because"),
        (skipped_tests_have_a_reason, "tests/a.py", "@pytest.mark.skip\ndef test_a(): ..."),
        (skipped_tests_have_a_reason, "tests/a.py", "@pytest.mark.skip()\ndef test_a(): ..."),
        (skipped_tests_have_a_reason, "tests/a.py", "@pytest.mark.skipif(True)\ndef test_a(): ..."),
        (skipped_tests_have_a_reason, "tests/a.py", "@pytest.mark.xfail(strict=True)\ndef test_a(): ..."),
        (skipped_tests_have_a_reason, "tests/a.py", "pytest.skip()"),
        (skipped_tests_have_a_reason, "tests/a.py", "ssh = pytest.importorskip('ssh')"),
    ],
)
def test_rule_finds_a_breach(rule: Rule, path: str, text: str) -> None:
    """Every rule fails on an example that breaks it."""
    assert len(rule(examples({path: text}))) == 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (folders_import_downwards_only, "auth/a.py", "import auth.model\nfrom config.settings import AuthSettings"),
        (folders_import_downwards_only, "auth/a.py", "import configparser\nfrom . import model"),
        (folders_import_downwards_only, "routing/a.py", "from config import settings\nfrom .model import Route"),
        (folders_import_downwards_only, "gateway/a.py", "import auth, routing\nfrom config.load import load_settings"),
        (folders_import_downwards_only, "tests/a.py", "import gateway.app"),
        (libraries_stay_in_their_place, "gateway/ssh/a.py", "import asyncssh.packet"),
        (libraries_stay_in_their_place, "gateway/demo/a.py", "import asyncssh"),
        (libraries_stay_in_their_place, "gateway/http/a.py", "import httptools"),
        (libraries_stay_in_their_place, "routing/kubernetes.py", "import kubernetes_asyncio"),
        (libraries_stay_in_their_place, "tests/a.py", "import asyncssh, httptools"),
        (connections_of_asyncssh_are_extended_in_one_place, "gateway/ssh/internals/a.py", "class A(Leg): ..."),
        (connections_of_asyncssh_are_extended_in_one_place, "gateway/ssh/a.py", "class Legs(asyncssh.SSHServer): ..."),
        (environment_is_read_in_one_place, "config/load.py", "import os\nhome = os.environ['HOME']"),
        (environment_is_read_in_one_place, "tests/a.py", "import os\nhome = os.environ['HOME']"),
        (environment_is_read_in_one_place, "auth/a.py", "request.environ['HOME']\nfrom os import path"),
        (types_are_imported_at_run_time, "auth/a.py", "text = 'TYPE_CHECKING'"),
        (modules_say_what_they_are_for, "auth/a.py", '"""What it is for."""'),
        (modules_say_what_they_are_for, "tests/a.py", ""),
        (modules_are_short, "auth/a.py", "x = 1\n" * MAX_LINES),
        (modules_are_named_after_a_noun, "auth/commons.py", ""),
        (functions_do_as_their_names_say, "auth/a.py", "def get_a() -> A | None: ...\ndef is_a() -> bool: ..."),
        (functions_do_as_their_names_say, "auth/a.py", "def find_a() -> A | Denied: ...\ndef _find_b() -> None: ..."),
        (functions_do_as_their_names_say, "tests/a.py", "async def is_a() -> bool: ..."),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # noqa: S105 - a name"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # noqa: S105, S106  # a name"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # type: ignore[misc, no-untyped-call]  # untyped"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = 1  # noqa: S105  # type: ignore[misc]  # for both"),
        (silenced_checks_have_a_reason, "auth/a.py", "# ruff: noqa: S105 - a file of names"),
        (silenced_checks_have_a_reason, "auth/a.py", "x = '# noqa'  # a text"),
        (skipped_tests_have_a_reason, "tests/a.py", "pytest.skip('no network')"),
        (
            skipped_tests_have_a_reason,
            "tests/a.py",
            "@pytest.mark.skipif(True, reason='no network')\ndef test_a(): ...",
        ),
        (skipped_tests_have_a_reason, "tests/a.py", "pytest.mark.parametrize('a', [1])\nreader.skip()"),
    ],
)
def test_rule_lets_the_rest_pass(rule: Rule, path: str, text: str) -> None:
    """No rule fails on an example that keeps it."""
    assert rule(examples({path: text})) == []


def test_cycle_is_found_across_modules() -> None:
    """A cycle is named once, by the way round, however it is spelled."""
    modules = examples(
        {
            "auth/__init__.py": "",
            "auth/a.py": "from auth import b",
            "auth/b.py": "def f():\n    from auth.c import d",
            "auth/c.py": "from .a import b",
            "auth/d.py": "import auth.a",
        }
    )

    assert imports_have_no_cycle(modules) == ["auth.a -> auth.b -> auth.c -> auth.a: imports form a cycle"]


def test_package_that_imports_its_module_is_a_cycle() -> None:
    """An `__init__` that imports what lies in it runs before its modules, which is a way round."""
    modules = examples(
        {"auth/__init__.py": "from auth.a import x", "auth/a.py": "from auth.b import y", "auth/b.py": ""}
    )

    assert imports_have_no_cycle(modules) == ["auth -> auth.a -> auth: imports form a cycle"]
