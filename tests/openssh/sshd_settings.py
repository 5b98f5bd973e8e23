"""What sshd was asked to do by its command line, and what its configuration then says, as sshd itself reads it."""

import getopt
import subprocess
from dataclasses import dataclass
from pathlib import Path

SSHD = "/usr/sbin/sshd"

_OPTIONS = "46C:DE:Gb:c:deFf:g:h:ik:o:p:qrRtTu:V"  # sshd(8)


@dataclass(frozen=True)
class CommandLine:
    """How sshd was called."""

    configuration: tuple[str, ...]
    """The arguments that say what is configured."""
    log: Path | None
    is_inetd: bool
    """Whether one client is served, on standard input and output."""


def parse_command_line(arguments: list[str]) -> CommandLine:
    """Raises `GetoptError` for what is no command line of sshd."""
    options, _ = getopt.getopt(arguments, _OPTIONS)
    names = {name for name, _ in options}
    logs = [Path(value) for name, value in options if name == "-E"]
    return CommandLine(
        configuration=tuple(word for name, value in options if name in ("-f", "-o") for word in (name, value)),
        log=logs[-1] if logs else None,
        is_inetd="-i" in names,
    )


@dataclass(frozen=True)
class SshdSettings:
    """The part of an sshd's configuration that concerns what stands in front of it."""

    port: int
    host_keys: tuple[Path, ...]
    authorized_keys: str
    """A path in which %u is the user."""
    login_grace: float
    max_startups: tuple[int, int, int]
    rekey_bytes: int
    """Until new keys are due; 0 leaves it to others."""
    rekey_seconds: int
    banner: Path | None
    pid_file: Path


def read_settings(command: CommandLine) -> SshdSettings:
    """Raises `CalledProcessError` where sshd does not accept its configuration; it has said why."""
    question = [SSHD, "-T", *command.configuration]
    shown = subprocess.run(question, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - sshd
    values: dict[str, list[str]] = {}
    for line in shown.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name, []).append(value)
    banner = values["banner"][0]
    begin, rate, full = map(int, values["maxstartups"][0].split(":"))
    rekey_bytes, rekey_seconds = map(int, values["rekeylimit"][0].split())
    return SshdSettings(
        port=int(values["port"][0]),
        host_keys=tuple(Path(path) for path in values["hostkey"]),
        authorized_keys=values["authorizedkeysfile"][0],
        login_grace=float(values["logingracetime"][0]),
        max_startups=(begin, rate, full),
        rekey_bytes=rekey_bytes,
        rekey_seconds=rekey_seconds,
        banner=None if banner == "none" else Path(banner),
        pid_file=Path(values["pidfile"][0]),
    )
