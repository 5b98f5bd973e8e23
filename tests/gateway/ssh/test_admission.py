"""A verdict about nothing opens nothing."""

import io

from pydantic import SecretStr

from auth.model import Granted, User
from config.settings import SshSettings
from gateway.ssh.admission import Admission
from gateway.ssh.outcomes import Rejected
from gateway.ssh.pod_keys import PodKeys
from gateway.ssh.upstream import Upstreams
from gateway.telemetry.log import open_log
from gateway.telemetry.metrics import Metrics
from tests.gateway.ssh.conftest import Access


class Nobody:
    """Whom nobody asks to wait."""

    def begin_waiting(self, user: str) -> bool:
        raise AssertionError(user)

    def show(self, text: str) -> None:
        raise AssertionError(text)


async def test_a_grant_for_no_workspace_admits_nobody() -> None:
    access = Access(answer=Granted(User(1, "ada")))
    log = open_log("error", io.StringIO())
    admission = Admission(access, Upstreams(SshSettings()), PodKeys("warn"), Metrics(), log)

    assert await admission.ask(None, SecretStr("glpat-a"), Nobody()) == Rejected("unknown_workspace")
    assert access.asked == ["0"]
