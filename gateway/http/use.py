"""Which requests are a person's work, and which come by themselves. Pure, and quick: every request is asked."""

from gateway.http.decision import Forward
from gateway.http.headers import RequestHead
from gateway.http.origins import SAFE_METHODS, is_navigation


def is_work(head: RequestHead, forward: Forward) -> bool:
    """Whether it opens a page because somebody wants to see it, or may change something.

    Of whom nothing is known, a browser at least is expected (https://www.w3.org/TR/fetch-metadata/): on a public port
    crawlers and those who look for holes come by all day. A page that reloads itself, or is fetched in case somebody
    should want it, is no work either.
    """
    if head.method not in SAFE_METHODS:
        return is_of_somebody(head, forward)
    mode = head.named.get(b"sec-fetch-mode")
    if mode is None:
        return forward.grant is not None and b"text/html" in head.named.get(b"accept", b"") and is_navigation(head)
    if mode != b"navigate" or b"sec-fetch-user" not in head.named or b"sec-purpose" in head.named:
        return False
    return is_navigation(head)


def is_of_somebody(head: RequestHead, forward: Forward) -> bool:
    """Whether it is of a person who is known or, as far as it says, of a browser; not of whoever scans what is open."""
    return forward.grant is not None or b"sec-fetch-site" in head.named
