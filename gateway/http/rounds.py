"""A request that a workspace sends back to the gateway is counted, and ended when it goes round and round. Pure.

Every request is marked on its way to a workspace (CDN-Loop, RFC 8586). A server that forwards what it gets passes the
mark on; one that takes it out opens connections of its own, which the caps on connections are for.
"""

from gateway.http.headers import RequestHead

CDN_LOOP = b"cdn-loop"
ROUNDS_MAX = 3  # a page that forwards to its API on another port, which forwards to a third, is no loop


class Rounds:
    """The mark of this gateway, all its workers and replicas."""

    def __init__(self, name: str) -> None:
        """`name` is the portal's host, which no other gateway has."""
        self._name = name.encode().lower()
        self.line = b"CDN-Loop: %b\r\n" % self._name
        """Added to whatever marks there are already; the field is a list, in one line or in several."""

    def is_loop(self, head: RequestHead) -> bool:
        """Whether this request has been here too often."""
        told = head.named.get(CDN_LOOP)
        if told is None:
            return False
        marks = (mark.partition(b";")[0].strip(b" \t").lower() for mark in told.split(b","))
        return sum(mark == self._name for mark in marks) >= ROUNDS_MAX
