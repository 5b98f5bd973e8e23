"""What stands between the gateway's cookies and a workspace: `gateway.http.headers` and `auth.cookies`.

The first line of an input is a Cookie header of a browser, the second a Set-Cookie line of a workspace.

- Whatever comes, nothing is raised.
- After stripping, no cookie of ours is found; all other pairs are there, byte for byte and in their order; stripping
  again changes nothing.
- Among whatever other cookies a browser sends one of ours, nothing of its value is left.
- A Set-Cookie line that may pass makes a browser (RFC 6265bis, section 5.7) keep no cookie that it would send under a
  name of ours, and none that it would send to another host.
"""

from auth.cookies import Cookies, values
from gateway.http.headers import is_cookie_refused, strip_cookies

HOST = "3000-apple.ws.example.dev"
COOKIES = Cookies(secure=True)
OWN = COOKIES.names
VALUE = b"what-nobody-else-says"


def check(data: bytes) -> None:
    sent, _, told = data.partition(b"\n")
    check_stripped(sent)
    if not is_cookie_refused(told, OWN, HOST):
        check_kept(told)


def check_stripped(sent: bytes) -> None:
    stripped = strip_cookies(sent, OWN)
    assert strip_cookies(stripped, OWN) == stripped
    for name in OWN:
        assert not values(stripped, name.decode())
    kept = [pair for pair in sent.split(b";") if pair.partition(b"=")[0].strip(b" \t") not in OWN]
    assert [pair.strip(b" \t") for pair in stripped.split(b";")] == ([pair.strip(b" \t") for pair in kept] or [b""])
    pairs = sent.split(b";")
    for position in range(len(pairs) + 1):
        among = b"; ".join([*pairs[:position], COOKIES.grant.encode() + b"=" + VALUE, *pairs[position:]])
        assert VALUE not in strip_cookies(among, OWN)


def check_kept(told: bytes) -> None:
    """As a browser reads it: a later Domain wins, a leading dot counts for nothing."""
    pair, *attributes = told.split(b";")
    name, equals, value = pair.partition(b"=")
    if not equals:
        name, value = b"", pair
    name, value = name.strip(b" \t"), value.strip(b" \t")
    sent = name + b"=" + value if name else value
    for own in OWN:
        assert not values(sent, own.decode())
        assert sent != own
    domain = b""
    for attribute in attributes:
        key, _, text = attribute.partition(b"=")
        if key.strip(b" \t").lower() == b"domain":
            domain = text.strip(b" \t").removeprefix(b".").lower()
    assert domain in (b"", HOST.encode())
