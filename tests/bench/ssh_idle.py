"""`python -m tests.bench.ssh_idle PORT USER FILE COUNT`: that many idle connections, with the password in the file.

It says `ready` once all are logged in, and keeps them until it is ended.
"""

import asyncio
import sys
from pathlib import Path

import asyncssh

AT_ONCE = 5  # logging in at a time: fewer than any server turns away


async def connect(port: int, user: str, password: str, count: int) -> None:
    """Open the connections, and hold them until the end of the process."""
    key_exchange = ["curve25519-sha256"]  # the cheapest, for the side that is not measured
    left = iter(range(count))
    connections = []

    async def open_some() -> None:
        for _ in left:
            connections.append(  # noqa: PERF401 - they share one iterator
                await asyncssh.connect(
                    "127.0.0.1",
                    port,
                    config=None,
                    known_hosts=None,
                    client_keys=None,
                    agent_path=None,
                    kex_algs=key_exchange,
                    username=user,
                    password=password,
                )
            )

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(open_some())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(connect(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text().strip(), int(sys.argv[4])))
