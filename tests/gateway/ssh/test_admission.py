"""What can be a token, and that a verdict about nothing opens nothing."""

import pytest
from pydantic import SecretStr

from auth.model import Granted, User
from config.settings import SshSettings
from gateway.ssh.admission import Admission, Rejected, parse_token
from gateway.ssh.upstream import Upstreams
from gateway.telemetry import Metrics
from tests.gateway.ssh.conftest import Access


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("glpat-abc_DEF.123", "glpat-abc_DEF.123"),
        (" glpat-a\r\n", "glpat-a"),
        ("", None),
        (" \t\n", None),
        ("glpat a", None),
        ("glpat-a\nX-Header: b", None),
        ("glpat-\x00", None),
        ("glpat-\x7f", None),
        ("glpat-\xe9", None),
        ("x" * 4096, "x" * 4096),
        ("x" * 4097, None),
    ],
)
def test_a_token_is_one_word_of_printable_ascii(text: str, token: str | None) -> None:
    parsed = parse_token(text)

    assert (parsed.get_secret_value() if parsed else None) == token


async def test_a_grant_for_no_workspace_admits_nobody() -> None:
    access = Access(answer=Granted(User(1, "ada")))
    admission = Admission(access, Upstreams(SshSettings()), Metrics(), portal_url="")

    assert await admission.ask(None, SecretStr("glpat-a")) == Rejected("unknown_workspace")
    assert access.asked == ["0"]
