"""Takes the Dockerfile's steps into folders of this machine, where no container engine is: root and debootstrap.

A stage's base is made by debootstrap, RUN goes into a chroot, COPY copies what .dockerignore lets through. What a
container would be is then a chroot with a read-only root, a user without privileges, and this machine's network.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from tests.image.dockerfile import ROOT, Copy, Run, Stage, is_ignored, read_rules

AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
_HOST_FILES = ("/etc/resolv.conf", "/etc/hosts")
_STEP_SECONDS = 600  # the longest installs Debian's Python, and other work may be going on


class Broken(Exception):
    """A step failed; the text holds the end of what it said."""


def debian_release(base: str) -> str:
    """`trixie` of `debian:trixie-slim`."""
    name, _, tag = base.partition(":")
    if name != "debian":
        raise Broken(f"{base} is not Debian, which is all that debootstrap makes")
    return tag.removesuffix("-slim")


def make_base(release: str, root: Path) -> None:
    """A minimal Debian, from the mirror that this machine uses."""
    sources = Path("/etc/apt/sources.list.d/debian.sources").read_text()
    mirror = next(line.split()[1] for line in sources.splitlines() if line.startswith("URIs:"))
    _run(["debootstrap", "--variant=minbase", release, str(root), mirror])


def build(stages: Sequence[Stage], base: Path, folder: Path) -> Path:
    """Every stage from a copy of the base; the root of the last."""
    roots: dict[str, Path] = {}
    root = folder
    for index, stage in enumerate(stages):
        root = folder / (stage.name or f"stage-{index}")
        _run(["cp", "--archive", "--reflink=auto", str(base), str(root)])
        _lend_host_files(root)
        for step in stage.steps:
            _take(step, root, roots)
        roots[stage.name] = root
    return root


def _take(step: Copy | Run, root: Path, roots: Mapping[str, Path]) -> None:
    if isinstance(step, Run):
        # In a namespace of its own, whose mounts go with it: whatever happens, nobody removes /dev by way of a root.
        script = 'mount --rbind /dev "$0/dev" && exec chroot "$0" /bin/sh -c "$1"'
        shell = ["bash", "-c", script, str(root), step.command]
        _run(["unshare", "--mount", "--propagation", "private", "--", *shell], env=_build_environment())
    elif step.stage:
        _run(["cp", "--archive", f"{roots[step.stage]}{step.source}", f"{root}{step.target}"])
    else:
        _copy_context(step, root)


def _copy_context(step: Copy, root: Path) -> None:
    source, target = ROOT / step.source, Path(f"{root}{step.target}")
    rules = read_rules((ROOT / ".dockerignore").read_text())
    files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    for file in files:
        if is_ignored(PurePosixPath(file.relative_to(ROOT)), rules):
            continue
        place = target if file == source else target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _lend_host_files(root: Path) -> None:
    """What an engine brings into the container, and the authorities that this machine trusts for its mirrors."""
    for name in _HOST_FILES:
        shutil.copyfile(name, f"{root}{name}")
    (root / "run").mkdir(exist_ok=True)
    shutil.copyfile(AUTHORITIES, root / "run" / "authorities.crt")
    (root / "etc/apt/apt.conf.d/99lent").write_text('Acquire::https::CAInfo "/run/authorities.crt";\n')


def _build_environment() -> dict[str, str]:
    lent = {"SSL_CERT_FILE": "/run/authorities.crt", "PIP_CERT": "/run/authorities.crt"}
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "DEBIAN_FRONTEND": "noninteractive", **lent, **passed}


def command_in(root: Path, stage: Stage, words: Sequence[str], *, env: Mapping[str, str], volume: Path) -> list[str]:
    """The arguments that run something in the image: as its user, in its folder, with a root that cannot be written.

    `volume` is mounted as /mnt, and /tmp is fresh, as the chart mounts it.
    """
    user, _, group = stage.user.partition(":")
    inside = [f"{name}={value}" for name, value in {**stage.env, **env}.items()]
    script = (
        'mount --bind "$0" "$0" && mount --rbind /dev "$0/dev" && mount --bind "$1" "$0/mnt" '
        '&& mount -t tmpfs -o mode=1777 tmp "$0/tmp" && mount -o remount,bind,ro "$0" && cd "$0" && shift '
        '&& exec chroot --userspec="$1" "$0" env --ignore-environment --chdir="$2" "${@:3}"'
    )
    shell = ["bash", "-c", script, str(root), str(volume), f"{user}:{group}", stage.folder, *inside, *words]
    return ["unshare", "--mount", "--propagation", "private", "--", *shell]


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(  # noqa: S603 - the steps of this project's own Dockerfile, which are what is tested
        command,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_STEP_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Broken(f"{' '.join(command)}\n{done.stdout[-3000:]}")
