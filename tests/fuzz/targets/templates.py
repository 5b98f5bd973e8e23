"""The host template of a Service (`routing.hostname`), an annotation that a stranger may have written.

- It gives a host, or is refused as `InvalidTemplate`.
- A host is canonical, is no address, and is what Go's text/template gives for the same text, read here once more
  character by character.
"""

import re

from routing.hostname import InvalidHost, InvalidTemplate, parse_host, render_host

PORT = 3000
SPACES = " \t\r\n"
NUMBER = re.compile(r"[0-9]+")


def check(data: bytes) -> None:
    template = data.decode("utf-8", "replace")
    try:
        host = render_host(template, PORT)
    except InvalidTemplate:
        return
    assert parse_host(host.encode()) == host
    assert not NUMBER.fullmatch(host.rpartition(".")[2])
    assert not host.startswith("[")
    assert parse_host(render(template).strip(SPACES).encode()) == host


def render(template: str) -> str:
    """As Go's lexer reads it: text, `{{`, an action, `}}`; a trim mark takes the spaces on its side of the text."""
    done, rest, trims = "", template, False
    while True:
        text, opening, rest = rest.partition("{{")
        text = text.lstrip(SPACES) if trims else text
        if not opening:
            return done + text
        action, closing, rest = rest.partition("}}")
        assert closing, "an action without an end"
        if action[:1] == "-" and action[1:2] in tuple(SPACES):
            text, action = text.rstrip(SPACES), action[2:]
        trims = action[-1:] == "-" and action[-2:-1] in tuple(SPACES)
        action = action[:-2] if trims else action
        if action.strip(SPACES) != ".port":
            raise InvalidHost(f"another action: {action!r}")
        done += text + str(PORT)
