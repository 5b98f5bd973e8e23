"""GitLab and the OAuth application, and every way in which they can be wrong."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from gateway.check.gitlab import look_at_redirect, look_at_service_token, look_for_application, look_for_gitlab
from gateway.check.model import Status
from gateway.demo.gitlab import Answer, Endpoint, Fault, StandInGitLab
from gateway.demo.gitlab_state import GitLabState
from tests.gateway.check.conftest import Looked


async def test_a_gitlab_that_answers_is_found(looked: Looked) -> None:
    """And so are its application and the redirect URI."""
    found = [await look(looked.site) for look in (look_for_gitlab, look_for_application, look_at_redirect)]

    assert [finding.status for finding in found] == [Status.OK] * 3
    assert looked.world.settings.auth.host in found[0].detail
    assert looked.world.settings.auth.redirect_uri in found[2].detail


async def test_a_gitlab_that_is_away_is_said(looked: Looked) -> None:
    """Nothing answers there."""
    await looked.world.gitlab.aclose()

    found = await look_for_gitlab(looked.site)

    assert found.status is Status.FAULT
    assert "nothing answers there" in found.advice


async def test_a_name_of_gitlab_that_does_not_resolve_is_said(looked: Looked) -> None:
    """Which is another thing to mend."""
    looked.change(auth={"host": "https://gitlab.invalid"})  # RFC 6761, section 6.4

    found = await look_for_gitlab(looked.site)

    assert found.status is Status.FAULT
    assert "does not resolve" in found.advice


async def test_a_gitlab_that_takes_too_long_is_said(looked: Looked) -> None:
    """By the time-out that the gateway has."""
    looked.change(auth={"timeout": 0.1})
    looked.world.gitlab.switches.everywhere.fault = Fault.SILENT

    found = await look_for_gitlab(looked.site)

    assert found.status is Status.FAULT
    assert "within 0.1 s" in found.detail
    assert "nothing answers there" in found.advice


async def test_a_certificate_of_gitlab_needs_its_authority(looked: Looked, tmp_path: Path) -> None:
    """auth.ca_file is what helps."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with served(authority) as gitlab:
        looked.change(auth={"host": gitlab.url})
        before = await look_for_gitlab(looked.site)
        looked.change(auth={"ca_file": tmp_path / "ca.pem"})
        after = await look_for_gitlab(looked.site)

    assert before.status is Status.FAULT
    assert "auth.ca_file" in before.advice
    assert after.status is Status.OK


@pytest.mark.parametrize("fault", [Answer(404, "nothing here"), Fault.MAINTENANCE_PAGE, Fault.UNAVAILABLE])
async def test_something_else_at_the_address_is_said(looked: Looked, fault: Answer | Fault) -> None:
    """A page, a 404, an overload."""
    looked.world.gitlab.switches.everywhere.fault = fault

    found = await look_for_gitlab(looked.site)

    assert found.status is Status.FAULT
    assert "is not GitLab, or not all of it" in found.advice


async def test_another_external_url_is_said(looked: Looked) -> None:
    """Because GitLab's id_tokens would name that one."""
    looked.change(auth={"host": looked.world.gitlab.url.replace("127.0.0.1", "localhost")})

    found = await look_for_gitlab(looked.site)

    assert found.status is Status.FAULT
    assert looked.world.gitlab.url in found.detail
    assert "external_url" in found.advice


@pytest.mark.parametrize("wrong", [{"client_secret": SecretStr("wrong-secret")}, {"client_id": "unknown"}])
async def test_a_wrong_secret_of_the_application_is_said(looked: Looked, wrong: dict[str, object]) -> None:
    """And not shown."""
    looked.change(auth=wrong)

    found = await look_for_application(looked.site)

    assert found.status is Status.FAULT
    assert "refuses auth.client_id or auth.client_secret" in found.detail
    assert "restart the pods" in found.advice
    assert "wrong-secret" not in repr(found)


async def test_whatever_takes_any_code_is_not_gitlab(looked: Looked) -> None:
    """Nobody was ever given that code."""
    token = '{"access_token": "a", "token_type": "Bearer", "expires_in": 7200}'
    looked.world.gitlab.switches[Endpoint.TOKEN].fault = Answer(200, token)

    found = await look_for_application(looked.site)

    assert found.status is Status.FAULT
    assert "never issued" in found.detail


async def test_an_unregistered_redirect_uri_is_said(looked: Looked) -> None:
    """With what to enter."""
    looked.change(auth={"redirect_uri": "https://other.example.dev/auth/callback"})

    found = await look_at_redirect(looked.site)

    assert found.status is Status.FAULT
    assert "https://other.example.dev/auth/callback" in found.detail
    assert "Applications" in found.advice


async def test_a_missing_scope_is_said(looked: Looked) -> None:
    """With the four that it takes."""
    target = f"{looked.world.settings.auth.redirect_uri}?error=invalid_scope&state=check"
    looked.world.gitlab.switches[Endpoint.AUTHORIZE].fault = Answer(302, headers=(("Location", target),))

    found = await look_at_redirect(looked.site)

    assert found.status is Status.FAULT
    assert "openid, profile, api, read_user" in found.advice


async def test_what_only_somebody_signed_in_is_told_stays_open(looked: Looked) -> None:
    """As GitLab itself does it; the address to open is given."""
    page = (("Location", f"{looked.world.gitlab.url}/users/sign_in"),)
    looked.world.gitlab.switches[Endpoint.AUTHORIZE].fault = Answer(302, headers=page)

    found = await look_at_redirect(looked.site)

    assert found.status is Status.UNKNOWN
    assert f"{looked.world.gitlab.url}/oauth/authorize?client_id=" in found.advice


async def test_an_overloaded_gitlab_leaves_the_redirect_open(looked: Looked) -> None:
    """It says nothing about the application."""
    looked.world.gitlab.switches[Endpoint.AUTHORIZE].fault = Fault.RATE_LIMITED

    assert (await look_at_redirect(looked.site)).status is Status.UNKNOWN


async def test_a_service_token_is_tried(looked: Looked) -> None:
    """One that GitLab takes, one that it does not, and none."""
    none = await look_at_service_token(looked.site)
    looked.change(auth={"service_token": looked.world.visit.users[0].token})
    taken = await look_at_service_token(looked.site)
    looked.change(auth={"service_token": SecretStr("glpat-revoked")})
    refused = await look_at_service_token(looked.site)

    assert [none.status, taken.status, refused.status] == [Status.UNKNOWN, Status.OK, Status.FAULT]
    assert "read_api" in refused.advice
    assert "glpat" not in repr(refused)


async def test_a_service_token_without_the_scope_is_said(looked: Looked) -> None:
    """It may be good for something else."""
    user = next(iter(looked.world.state.users.values()))
    looked.change(auth={"service_token": SecretStr(looked.world.state.add_token(user, scopes=("read_user",)))})

    found = await look_at_service_token(looked.site)

    assert found.status is Status.FAULT
    assert "neither api nor read_api" in found.detail


@asynccontextmanager
async def served(authority: trustme.CA) -> AsyncIterator[StandInGitLab]:
    """A stand-in GitLab behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    gitlab = StandInGitLab(GitLabState(), hostname="localhost")
    async with gitlab.serve(tls=context):
        yield gitlab


@pytest.mark.parametrize(("scope", "status"), [("read_api", Status.FAULT), ("api", Status.OK)])
async def test_a_service_token_that_is_to_stop_workspaces_must_be_able_to(
    looked: Looked, scope: str, status: Status
) -> None:
    """Without time-outs, reading is all it is for."""
    user = looked.world.state.add_user("root", admin=True)
    looked.change(auth={"service_token": SecretStr(looked.world.state.add_token(user, scopes=(scope,)))})
    without = await look_at_service_token(looked.site)
    looked.change(idle={"timeout": 3600})
    stopping = await look_at_service_token(looked.site)

    assert (without.status, stopping.status) == (Status.OK, status)
