"""Decisions that were made before and still hold."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from auth.model import Grant, Visibility
from gateway.http.decision import Forward
from gateway.http.headers import RequestHead, parse_request
from gateway.http.recall import HELD_MAX, Recall
from gateway.http.upstream import Origin
from gateway.telemetry.metrics import Metrics
from tests.clock import Clock

HOST = b"3000-apple.ws.example.dev"
GRANT = Grant(HOST.decode(), "1", "uid", 7, "ada", "ref", Visibility.PRIVATE, issued=1000, expires=1600)
FORWARD = Forward(Origin("uid", "10.0.0.1", 80), None, GRANT)


def request(
    target: bytes = b"/", cookie: bytes = b"a=b", method: bytes = b"GET", fields: tuple[tuple[bytes, bytes], ...] = ()
) -> RequestHead:
    """A request of the browser that holds the grant."""
    head = [(b"Host", HOST), (b"Cookie", cookie), *fields]
    return parse_request(method, target, "1.1", head, keep_alive=True)


@pytest.fixture
def clock() -> Clock:
    """At the time when the grant was given."""
    return Clock(1000.0)


@pytest.fixture
def metrics() -> Metrics:
    """What is counted."""
    return Metrics()


@pytest.fixture
def recall(clock: Callable[[], float], metrics: Metrics) -> Recall:
    """What remembers one decision."""
    recall = Recall(clock, metrics)
    recall.put(request(), FORWARD)
    return recall


def test_the_same_browser_on_the_same_host_is_recalled(recall: Recall) -> None:
    """Whatever page of it is asked for."""
    assert recall.get(request(b"/other?page")) is FORWARD
    assert recall.get(request(method=b"HEAD")) is FORWARD


@pytest.mark.parametrize(
    "other",
    [
        request(cookie=b"a=c"),
        request(method=b"POST"),
        request(method=b"OPTIONS"),
        request(b"/.workspaces-gateway/enter?code=x"),
        request(fields=((b"X-Workspaces-Token", b"glpat"),)),
        request(fields=((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"a"))),
    ],
    ids=["other cookies", "unsafe", "preflight", "reserved path", "token", "upgrade"],
)
def test_what_depends_on_more_than_host_and_cookies_is_decided_anew(recall: Recall, other: RequestHead) -> None:
    """And is not remembered either."""
    assert recall.get(other) is None
    recall.forget()
    recall.put(other, FORWARD)

    assert len(recall) == (other.get(b"cookie") != b"a=b")


def test_a_decision_is_forgotten_when_its_grant_is_due(recall: Recall, clock: Clock) -> None:
    """It must be renewed then."""
    clock.now = 1299.0
    assert recall.get(request()) is FORWARD
    clock.now = 1300.0
    assert recall.get(request()) is None


def test_a_decision_from_the_future_is_made_anew(recall: Recall, clock: Clock) -> None:
    """The clock was set back, and the grant is void."""
    clock.now = 939.0

    assert recall.get(request()) is None


def test_a_visitor_without_a_grant_is_never_remembered(recall: Recall) -> None:
    """What a stranger is shown depends on more."""
    recall.forget()
    recall.put(request(), replace(FORWARD, grant=None))

    assert len(recall) == 0


def test_memory_is_bounded(recall: Recall) -> None:
    """A browser that changes its cookies all the time only empties it."""
    for number in range(HELD_MAX + 10):
        recall.put(request(cookie=b"n=%d" % number), FORWARD)

    assert len(recall) <= HELD_MAX


def test_it_is_counted_how_often_remembering_helped(recall: Recall, metrics: Metrics) -> None:
    """Each decision that was made is one that could be remembered; what cannot be is neither."""
    recall.get(request())
    recall.get(request(b"/other"))
    recall.get(request(method=b"POST"))

    counted = metrics.http_grant_memory
    assert (counted.labels("hit").value, counted.labels("miss").value) == (2, 1)
