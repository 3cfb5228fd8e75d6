from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from postroad.connectors.xledger.faults import (
    GarbledError,
    NoCurrentError,
    QueryError,
    QueryTimeoutError,
    UnknownFieldError,
    classifier,
)
from postroad.errors import AuthError, RemoteError, ThrottledError
from postroad.records import Want
from tests.unit.xledger.remote import TOKEN, Remote, feeds, sheet

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CREDITS = "BAD_REQUEST.INSUFFICIENT_CREDITS"


def classified(body: Any, status: int = 200) -> Exception | None:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classifier("Europe/Oslo", NOW.timestamp)(status, {"date": "Sun, 01 Nov 2026 12:00:00 GMT"}, text)


def error(message: str, code: str | None = None, **more: Any) -> Exception | None:
    return classified({"errors": [{"message": message, "code": code, **more}], "data": {"timesheets": None}})


@pytest.mark.parametrize(
    ("found", "wait"),
    [
        (error("Too many requests in the last 5 seconds.", "BAD_REQUEST.BURST_RATE_LIMIT_REACHED"), 5),
        (error("Too many requests in the last 5 seconds."), 5),
        (error("Too many requests", "BAD_REQUEST.CONCURRENCY_LIMIT_REACHED"), 1),
        (error("x", extensions={"code": "BAD_REQUEST.CONCURRENCY_LIMIT_REACHED"}), 1),
        (error("Insufficient credits.", CREDITS), 1_200),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": "2026-11-01T12:10:00Z"}), 601),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": "2026-11-01T13:10:00"}), 601),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": NOW.timestamp() + 600}), 601),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": (NOW.timestamp() + 600) * 1000}), 601),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": "2020-01-01T00:00:00Z"}), 1_200),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": "soon"}), 1_200),
        (error("Insufficient credits.", CREDITS, extensions={"resetAt": 1e300}), 1_200),
        (error("Insufficient credits.", CREDITS, extensions="none"), 1_200),
    ],
)
def test_weakness_22_limits_have_their_own_pauses(found: Exception, wait: float) -> None:
    assert isinstance(found, ThrottledError)
    assert found.wait == wait


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (error("Your query timed out."), QueryTimeoutError),
        (error('Bad format for API Token. Expected header: "Authorization: token <your-token>"'), AuthError),
        (error("The API token has expired."), AuthError),
        (error("Cannot query field `foo` on type `Query`"), UnknownFieldError),
        (error("Cannot query field `_current` on type `TimesheetDelta`"), NoCurrentError),
        (error("whatever", "UNHANDLED_ERROR"), QueryError),
        (classified(b"<html>Maintenance</html>"), GarbledError),
        (classified(b'{"data": {"timesh'), GarbledError),
        (classified(b""), GarbledError),
        (classified(b"[]"), GarbledError),
        (classified({"data": None}), QueryError),
        (classified({}), QueryError),
        (classified({"errors": [{"message": "limit", "code": CREDITS}]}, 400), ThrottledError),
    ],
)
def test_weakness_22_every_error_has_its_kind(found: Exception, kind: type[Exception]) -> None:
    assert type(found) is kind


def test_good_answers_and_plain_statuses_are_left_alone() -> None:
    assert classified({"data": {"timesheets": {"edges": None}}, "errors": []}) is None
    assert classified(b"Bad gateway", 502) is None


@pytest.mark.parametrize(
    ("message", "expired"),
    [
        ("The cursor is no longer valid.", True),
        ("Invalid cursor `123`.", True),
        ("syncVersion is older than the retention", True),
        ("Internal error.", False),
    ],
)
def test_expired_cursors_are_known_by_their_words(message: str, expired: bool) -> None:
    found = error(message)
    assert isinstance(found, QueryError)
    assert found.expired == expired


def test_a_limit_outweighs_the_errors_beside_it() -> None:
    faults = [{"message": "other"}, {"message": "Insufficient credits.", "code": CREDITS}]
    assert isinstance(classified({"errors": faults}), ThrottledError)


def test_a_long_message_is_cut() -> None:
    assert len(str(error("row " * 1_000))) < 300


def test_garbled_answers_are_tried_again_then_told() -> None:
    remote = Remote()
    source = remote.source()
    remote.scripted = [httpx_html() for _ in range(9)]
    with pytest.raises(RemoteError, match="maintenance"):
        list(source.fetch(feeds(source)["timesheets"], Want()))
    assert len(remote.asked) == 5


def httpx_html() -> Any:
    import httpx

    return httpx.Response(200, text=f"<html>{TOKEN}</html>")


def test_the_token_is_planted_and_never_found() -> None:
    remote = Remote()
    remote.rows["timesheets"] = [sheet(1, note=TOKEN)]
    source = remote.source()
    (payload,) = source.fetch(feeds(source)["timesheets"], Want())
    remote.errors["timesheets"] = {"message": f"Something went wrong for token {TOKEN}."}
    with pytest.raises(RemoteError) as raised:
        list(source.fetch(feeds(source)["timesheets"], Want()))
    assert (
        TOKEN
        not in f"{payload!r}{raised.value!r}{source.__dict__!r}{source._settings!r}{source._settings.model_dump()}"
    )
    assert b"***" in (payload.body or b"")
