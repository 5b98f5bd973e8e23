"""What the Dockerfile says, and the wheels that are pinned for it."""

import re
import tomllib
from pathlib import PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.image.dockerfile import ROOT, Copy, NotUnderstood, Run, Stage, is_ignored, read_dockerfile, read_rules


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read_dockerfile((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def pins() -> dict[str, Version]:
    """Every pinned wheel by its name."""
    found = re.findall(r"^([a-z0-9-]+)==(\S+) \\$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    return {name: Version(version) for name, version in found}


def test_the_image_runs_as_nobody_and_says_how_to_treat_it(stages: list[Stage]) -> None:
    """A user by number, so that runAsNonRoot can tell; no privileged port; the signal that drains."""
    image = stages[-1]

    assert re.fullmatch(r"[1-9][0-9]{3,}:[1-9][0-9]{3,}", image.user)
    assert image.stop_signal == "SIGTERM"
    assert image.entrypoint == ["python3", "-m", "gateway", "serve"]
    assert image.health[0] == "python3"
    assert min(image.ports) >= 1024
    assert image.env["SSH_PORT"] in map(str, image.ports)


def test_every_package_is_copied_and_nothing_else(stages: list[Stage]) -> None:
    """A new top-level package has to be named in the Dockerfile too."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.partition(".")[0] for name in told["tool"]["setuptools"]["packages"]}
    copied = {step.source for step in stages[0].steps if isinstance(step, Copy)}

    assert copied == packages | {"requirements.txt"}


def test_the_context_holds_what_is_copied_and_nothing_else(stages: list[Stage]) -> None:
    """No secret and no build of a machine can slip in."""
    rules = read_rules((ROOT / ".dockerignore").read_text())
    copied = [step.source for step in stages[0].steps if isinstance(step, Copy)]

    assert not [source for source in copied if is_ignored(PurePosixPath(source), rules)]
    kept_out = (".env", ".git/config", ".venv/pyvenv.cfg", "tests/conftest.py", "gateway/__pycache__/app.pyc", "x.pem")
    assert [path for path in kept_out if not is_ignored(PurePosixPath(path), rules)] == []
    assert not is_ignored(PurePosixPath("gateway/templates/home.html"), rules)


def test_wheels_are_pinned_by_hash_and_fit_the_project(pins: dict[str, Version]) -> None:
    """`make requirements.txt` renews them after a change of pyproject.toml."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        Requirement(text)
        for text in (
            *told["dependencies"],
            *told["optional-dependencies"]["opentelemetry"],
            *told["optional-dependencies"]["redis"],
        )
    ]

    unmet = [str(need) for need in wanted if need.name not in pins or pins[need.name] not in need.specifier]
    assert not unmet, f"run `make requirements.txt`: {unmet}"
    blocks = re.split(r"^(?=[a-z])", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins)
    assert all("--hash=sha256:" in block for block in blocks)


def test_the_installation_takes_nothing_but_pinned_wheels(stages: list[Stage]) -> None:
    """No source is built, and what has another hash is refused."""
    installs = [step.command for step in stages[0].steps if isinstance(step, Run) and " install " in step.command]
    pip = [command for command in installs if "pip" in command and "apt-get" not in command]

    assert len(pip) == 1
    assert "--require-hashes" in pip[0]
    assert "--only-binary :all:" in pip[0]


def test_the_reader_understands_what_this_project_uses() -> None:
    """Continued lines, comments between them, stages and both kinds of COPY."""
    text = (
        "# top\nFROM debian:x-slim AS one\nRUN a \\\n# why\n  && b\nCOPY f /f\n\nFROM debian:x\nCOPY --from=one /f /g\n"
    )

    one, two = read_dockerfile(text)

    assert (one.base, one.name, two.name) == ("debian:x-slim", "one", "")
    assert one.steps == [Run("a && b"), Copy("f", "/f", "")]
    assert two.steps == [Copy("/f", "/g", "one")]


@pytest.mark.parametrize("line", ["ADD a b", "COPY --chown=1 a b", "COPY a b c", "ENV A=$B", "VOLUME /x", "FROM a b c"])
def test_the_reader_refuses_the_rest(line: str) -> None:
    """Instead of passing over it."""
    with pytest.raises(NotUnderstood):
        read_dockerfile(f"FROM debian:x\n{line}\n")
