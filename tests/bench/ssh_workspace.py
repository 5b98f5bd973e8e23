"""`python -m tests.bench.ssh_workspace [hurried]`: the sshd of a measured workspace; its first line says the port.

A hurried one runs before everything else on its core, if the system permits it, with all that it starts.
"""

import asyncio
import os
import sys
from contextlib import suppress

from gateway.demo.sshd import WorkspaceSshd
from tests.bench.load import REAL_TIME


async def serve() -> None:
    """Serve until the end of the process."""
    async with WorkspaceSshd("openssh") as sshd:
        sys.stdout.write(f"{sshd.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    if "hurried" in sys.argv[1:]:
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REAL_TIME))
    asyncio.run(serve())
