"""Does the store of the sessions answer?"""

import time

from auth.model import SessionsUnavailable
from auth.seal import Sealer
from gateway.check.model import Finding, fault, ok, unknown
from gateway.check.site import Site

_NOBODYS = "check-of-the-gateway"


async def look_at_sessions(site: Site) -> Finding:
    """It is asked for a session that nobody has."""
    settings = site.settings.sessions
    if settings.store == "memory":
        return unknown("sessions are in the memory of one process; several replicas need sessions.store")
    # Imported here: Redis is an extra, which a gateway of one process does without.
    try:
        from auth.redis_sessions import open_redis_sessions  # noqa: PLC0415 - see above
    except ModuleNotFoundError as exc:
        return fault(f"the package {exc.name} is not installed", "pip install '.[redis]' in the folder of its source")
    async with open_redis_sessions(settings, Sealer((site.settings.auth.signing_key,)), time.time) as sessions:
        try:
            await sessions.get(_NOBODYS)
        except SessionsUnavailable as exc:
            return fault(
                f"{settings.store}: {exc.operator}",
                "check sessions.store and sessions.password, and that the network lets the gateway reach it",
            )
    return ok(f"{settings.store} answers")
