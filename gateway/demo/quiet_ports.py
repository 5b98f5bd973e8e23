"""Ports that nobody listens on, for what must know its port before it starts."""

import errno
import random
import socket
from contextlib import ExitStack

_LOOPBACK = "127.0.0.1"
_QUIET = range(20_000, 32_768)  # net.ipv4.ip_local_port_range begins at 32768
_TRIES = 100  # hardly any of them are taken on a machine that does not serve thousands


def quiet_ports(count: int) -> list[int]:
    """Ports of this machine that are all different and free right now.

    They lie below those that Linux gives to connections going out, or one of these could take a port before it is
    used. OSError is raised when none is found.
    """
    with ExitStack() as held:
        return [_hold_a_port(held) for _ in range(count)]


def _hold_a_port(held: ExitStack) -> int:
    for port in random.sample(_QUIET, _TRIES):
        sock = held.enter_context(socket.socket())
        try:
            sock.bind((_LOOPBACK, port))
        except OSError:
            continue
        return port
    raise OSError(errno.EADDRINUSE, "no free port was found")
