"""After a valid 101: both transports leave HTTP and become one tunnel, which is counted, logged and revocable."""

import asyncio

from gateway.http.decision import Forward
from gateway.http.headers import RequestHead
from gateway.http.plane import Client, Plane
from gateway.http.record import REVOKED
from gateway.http.tunnel import Tunnel


def open_tunnel(
    plane: Plane,
    client: Client,
    head: RequestHead,
    forward: Forward,
    *,
    request_id: str,
    workspace: asyncio.Transport,
    rest: bytes,
) -> None:
    """Take the client's transport from its connection and join it with the workspace's, which already said `rest`."""
    loop = asyncio.get_running_loop()
    opened = loop.time()

    def closed(up: int, down: int) -> None:
        plane.gate.streams.discard(tunnel)
        plane.uses.close(tunnel)
        plane.recorder.tunnel_closed(
            head,
            forward,
            request_id=request_id,
            client=client.peer,
            code=REVOKED if tunnel.is_revoked else "",
            seconds=loop.time() - opened,
            up=up,
            down=down,
        )

    def client_lost() -> None:
        plane.tunnels.discard(tunnel)
        plane.crowd.leave(client.peer)

    tunnel = Tunnel(
        client.transport,
        workspace,
        pulse=plane.uses.find_pulse(
            forward.route.workspace.id if forward.route else "", forward.grant.user_id if forward.grant else None
        ),
        closed=closed,
        client_lost=client_lost,
        workspace_lost=lambda: plane.pool.leave(forward.origin),
    )
    plane.tunnels.add(tunnel)
    plane.gate.streams.add(tunnel, forward)
    if forward.route is not None:
        plane.uses.open_tunnel(tunnel, forward.route.workspace.id)
    plane.recorder.tunnel_opened()
    tunnel.open(client.hand_over(), rest)
