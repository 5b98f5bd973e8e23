"""What can be a token: in a text that somebody typed, and in the request that carries it as a password."""

from asyncssh.packet import Boolean, SSHPacket, String
from pydantic import SecretStr

from gateway.ssh import limits


def parse_token(text: str) -> SecretStr | None:
    """The token in what was typed or pasted: without white space around it, None where it can be no token.

    Nothing else would be safe in a request header, and an empty token makes GitLab answer as to a stranger, with 200.
    """
    token = text.strip()
    if not 0 < len(token) <= limits.TOKEN_LENGTH or not all("!" <= char <= "~" for char in token):
        return None
    return SecretStr(token)


def with_clean_password(request: SSHPacket) -> SSHPacket:
    """The rest of a password request (RFC 4252 section 8) with nothing in it over which asyncssh ends connections.

    That is so for the line break of a pasted token. What can be no token becomes the empty one, which opens nothing.
    """
    is_change = request.get_boolean()
    password = request.get_string().strip()
    if not all(0x21 <= byte <= 0x7E for byte in password):
        password = b""
    return SSHPacket(Boolean(is_change) + String(password) + request.get_remaining_payload())
