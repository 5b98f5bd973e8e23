"""The baseline of the SSH measurements: a relay as asyncssh's documentation leads one to write it, on its process API.

`python -m tests.bench.ssh_relay PORT NAME=PORT...` lets everybody in, and gives user NAME a process at the sshd on its
port, in a connection of its own. It carries commands, their streams and their exit status, and nothing else.
"""

import asyncio
import sys

import asyncssh
import uvloop

from gateway.demo.sshd import LOOPBACK, USER


class _OpenDoor(asyncssh.SSHServer):
    """Lets in whoever has a password."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return bool(username and password)


async def serve(port: int, workspaces: dict[str, int]) -> None:
    """Serve until the end of the process."""

    async def relay(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        sshd = workspaces[process.get_extra_info("username")]
        async with (
            asyncssh.connect(LOOPBACK, sshd, username=USER, password="", known_hosts=None, config=None) as connection,
            connection.create_process(
                process.command, encoding=None, stdin=process.stdin, stdout=process.stdout, stderr=process.stderr
            ) as upstream,
        ):
            await upstream.wait_closed()
            process.exit(upstream.exit_status or 0)

    await asyncssh.listen(
        LOOPBACK,
        port,
        config=None,
        encoding=None,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        server_factory=_OpenDoor,
        process_factory=relay,
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), {name: int(port) for name, port in (text.split("=") for text in sys.argv[2:])}))
