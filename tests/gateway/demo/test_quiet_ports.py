"""The ports that a demo or a test takes for itself."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo import quiet_ports as module
from gateway.demo.quiet_ports import quiet_ports


def test_they_can_be_listened_on_and_none_goes_to_a_connection_meanwhile() -> None:
    """Three of them, below those that the system gives to whoever connects."""
    ports = quiet_ports(3)

    assert len(set(ports)) == 3
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in ports:
        assert port < lowest
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", port))


def test_a_port_does_not_come_again_before_the_others() -> None:
    """Whoever has been given one may take a moment to use it."""
    ports = [port for _ in range(10) for port in quiet_ports(3)]

    assert len(set(ports)) == 30


def test_no_two_processes_choose_from_the_same_ports() -> None:
    """Three others, each of which goes through all it has while the others live."""
    program = "from gateway.demo.quiet_ports import quiet_ports; print(*quiet_ports(60), flush=True); input()"
    argv = (sys.executable, "-c", program)
    others = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
        for _ in range(3)
    ]
    chosen = [{str(port) for port in quiet_ports(10)}]
    for other in others:
        assert other.stdout is not None
        chosen.append(set(other.stdout.readline().split()))
    for other in others:
        other.communicate("\n")

    numbers = [port for ports in chosen for port in ports]
    assert len(numbers) == len(set(numbers)) == 190


def test_one_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """And when all are, that is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (free,) = quiet_ports(1)
        monkeypatch.setattr(module, "_ports", lambda: iter([port, free]))
        assert quiet_ports(1) == [free]

        monkeypatch.setattr(module, "_ports", lambda: iter([port]))
        with pytest.raises(OSError, match="no free port"):
            quiet_ports(1)
