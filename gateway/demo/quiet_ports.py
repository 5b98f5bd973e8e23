"""Ports that nobody listens on, for what must know its port before it starts.

Between the choice and the start the port is free for everybody, so each process has a block of ports that no other
process chooses from, and takes them in turn: a port comes again only after all others of the block.
"""

import errno
import itertools
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

_LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 20_000, 32_767  # net.ipv4.ip_local_port_range begins at 32768: no connection going out takes one
_BLOCK = 64  # ports: more than one test or demo holds, and blocks for two hundred processes


def quiet_ports(count: int) -> list[int]:
    """Ports of this machine that are all different and free right now. OSError is raised when there are too few."""
    free = filter(_is_free, itertools.islice(_ports(), _BLOCK))
    ports = list(itertools.islice(free, count))
    if len(ports) < count:
        raise OSError(errno.EADDRINUSE, "no free port was found")
    return ports


@cache
def _ports() -> Iterator[int]:
    """Those of this process, round and round."""
    return itertools.cycle(_claim_block())


def _claim_block() -> range:
    """A block that is this process's own until it ends, as nobody else can bind its name meanwhile (unix(7))."""
    blocks = [range(start, start + _BLOCK) for start in range(_LOWEST, _HIGHEST - _BLOCK + 2, _BLOCK)]
    random.shuffle(blocks)
    for block in blocks:
        claim = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            claim.bind(f"\0workspaces-gateway-ports-{block.start}")
            claim.detach()  # stays open, and is nobody's to close
            return block
        claim.close()
    return random.choice(blocks)  # noqa: S311 - where all are taken, chance is as good


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has ended, but for its last minute, is gone
        try:
            sock.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True
