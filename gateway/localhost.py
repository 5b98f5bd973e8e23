"""Names under .localhost lead to this machine (RFC 6761, section 6.3), which not every system does by itself."""

import socket

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver


class LocalhostResolver(ThreadedResolver):
    """The system's names, and those of a development set-up."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await super().resolve("localhost" if host.endswith(".localhost") else host, port, family)
