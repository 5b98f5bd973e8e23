"""The ports that a demo or a test takes for itself."""

import socket
from pathlib import Path

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
