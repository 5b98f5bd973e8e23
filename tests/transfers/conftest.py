"""The door and the sshd of the SSH tests, for what takes too long to be one of them."""

from tests.gateway.ssh.conftest import bench, gateway, host_key, sshd

__all__ = ["bench", "gateway", "host_key", "sshd"]
