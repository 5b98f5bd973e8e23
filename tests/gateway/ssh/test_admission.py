"""A verdict about nothing opens nothing."""

from pydantic import SecretStr

from auth.model import Granted, User
from config.settings import SshSettings
from gateway.ssh.admission import Admission, Rejected
from gateway.ssh.upstream import Upstreams
from gateway.telemetry import Metrics
from tests.gateway.ssh.conftest import Access


async def test_a_grant_for_no_workspace_admits_nobody() -> None:
    access = Access(answer=Granted(User(1, "ada")))
    admission = Admission(access, Upstreams(SshSettings()), Metrics(), portal_url="")

    assert await admission.ask(None, SecretStr("glpat-a")) == Rejected("unknown_workspace")
    assert access.asked == ["0"]
