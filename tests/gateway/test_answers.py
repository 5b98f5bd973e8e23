"""The gateway's own answers: one value, three forms."""

import json

import pytest

from auth.model import GitLabUnavailable, ScopeMissing, SignInDenied, TokenRefused
from gateway import answers
from gateway.answers import Answer, answer_fault, answer_unreachable, render, sign_in_needed
from routing.model import WorkspaceState

ALL = [answer for answer in vars(answers).values() if isinstance(answer, Answer)]
CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        (CHROME, "text/html"),
        ("text/html", "text/html"),
        ("TEXT/HTML", "text/html"),
        ("text/html;q=0.1, application/json", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("application/json;q=0.2, text/*", "text/html"),
        ("application/problem+json", "application/json"),
        ("application/vnd.api+json, text/plain;q=0.5", "application/json"),
        ("text/plain", "text/plain"),
        ("text/plain, text/html;q=0.9", "text/plain"),
        ("text/plain, */*;q=0.1", "text/plain"),
        ("application/json, text/plain, */*", "application/json"),
        ("image/png", "application/json"),
        ("text/event-stream", "application/json"),
        ("text/html;level=1;q=0.5, application/json;q=0.4", "text/html"),
        ("text/html;q=nonsense", "text/html"),
        (";;;,,,q=", "application/json"),
        ("\xff" * 100, "application/json"),
    ],
)
def test_form_follows_accept(accept: str, kind: str) -> None:
    """The form that the client likes best, and JSON where it likes all alike (RFC 9110, section 12.5.1)."""
    rendered = render(answers.UNKNOWN_HOST, accept, "r1")

    assert dict(rendered.headers)["Content-Type"].partition(";")[0] == kind


def test_long_accept_costs_little() -> None:
    """Only the first ranges of a bomb are read."""
    assert render(answers.UNKNOWN_HOST, "a/b," * 100_000 + "text/html", "r1").status == 404


@pytest.mark.parametrize("answer", ALL, ids=lambda answer: answer.code)
@pytest.mark.parametrize("accept", ["text/html", "application/json", "text/plain"])
def test_answer_is_whole_in_every_form(answer: Answer, accept: str) -> None:
    """Whatever the form, no cache keeps it, it is marked as ours and it names the request."""
    rendered = render(answer, accept, "request-1")
    headers = dict(rendered.headers)

    assert len(headers) == len(rendered.headers)
    assert (headers["Cache-Control"], headers["X-Workspaces-Gateway"]) == ("no-store", answer.code)
    assert headers["X-Request-Id"] == "request-1"
    assert b"request-1" in rendered.body
    assert headers.get("Retry-After") == (None if answer.retry_after is None else str(answer.retry_after))


def test_codes_are_distinct() -> None:
    """A program can tell every answer from every other."""
    assert len({answer.code for answer in ALL}) == len(ALL)


def test_page_has_a_policy() -> None:
    """A page of ours loads nothing and runs nothing."""
    assert "default-src 'none'" in dict(render(answers.STOPPED, "text/html", "r1").headers)["Content-Security-Policy"]


def test_sign_in_is_named_where_nobody_is_redirected() -> None:
    """401 tells a program which address a person would open."""
    rendered = render(sign_in_needed("https://portal.dev/auth/start"), "application/json", "r1")

    assert rendered.status == 401
    assert "WWW-Authenticate" in dict(rendered.headers)
    assert json.loads(rendered.body)["sign_in_url"] == "https://portal.dev/auth/start"


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (TokenRefused("x"), answers.SIGN_IN_DENIED),
        (ScopeMissing("x"), answers.SIGN_IN_DENIED),
        (SignInDenied("x"), answers.INTERNAL_ERROR),
    ],
)
def test_fault_becomes_an_answer(fault: TokenRefused, answer: Answer) -> None:
    """Each fault has its words."""
    assert answer_fault(fault) == answer


def test_unavailable_gitlab_says_when_to_come_back() -> None:
    """GitLab's own word on it is passed on."""
    assert answer_fault(GitLabUnavailable("x", retry_after=77)).retry_after == 77


@pytest.mark.parametrize(
    ("state", "timed_out", "answer"),
    [
        (WorkspaceState.STOPPED, False, answers.STOPPED),
        (WorkspaceState.STOPPED, True, answers.STOPPED),
        (WorkspaceState.STARTING, False, answers.STARTING),
        (WorkspaceState.RUNNING, False, answers.NOTHING_LISTENS),
        (WorkspaceState.RUNNING, True, answers.UPSTREAM_TIMEOUT),
        (WorkspaceState.UNKNOWN, True, answers.UPSTREAM_TIMEOUT),
    ],
)
def test_closed_port_is_explained_by_its_workspace(state: WorkspaceState, answer: Answer, *, timed_out: bool) -> None:
    """What is known about the workspace comes before what the network said."""
    assert answer_unreachable(state, timed_out=timed_out) is answer
