"""What an answer of an API means: each status, each broken connection, each odd result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from postroad.connectors.http.answers import sentence
from postroad.connectors.http.simulator import DEMO_TOKEN, ApiSimulator
from postroad.errors import (
    AuthError,
    BatchRefusedError,
    ConfigError,
    OutcomeUnknownError,
    RemoteError,
    ThrottledError,
    TransientError,
)
from tests.unit.http.api import EACH, ITEMS, items, opened, sent, words


@pytest.fixture
def api() -> Iterator[ApiSimulator]:
    with ApiSimulator(["id"]) as api:
        yield api


def posts(api: ApiSimulator) -> int:
    return sum(each["method"] != "GET" for each in api.log())


@pytest.mark.parametrize(("status", "error"), [
    (400, BatchRefusedError), (401, AuthError), (403, AuthError), (404, ConfigError), (405, ConfigError),
    (408, TransientError), (409, TransientError), (410, ConfigError), (413, BatchRefusedError), (415, ConfigError),
    (422, BatchRefusedError), (425, TransientError), (429, ThrottledError), (500, TransientError),
    (501, ConfigError), (502, TransientError), (503, TransientError), (504, TransientError), (302, ConfigError),
])  # fmt: skip
@pytest.mark.parametrize("answer", [EACH, None])
def test_each_status_means_what_its_row_says(
    api: ApiSimulator, status: int, error: type[Exception], answer: Any
) -> None:
    api.fault("refuse", count=None, status=status)
    with pytest.raises(error) as raised:
        sent(api, "a", "b", answer=answer)
    assert type(raised.value) is error
    assert api.rows("items") == []


@pytest.mark.parametrize(("status", "error"), [
    (400, BatchRefusedError), (404, ConfigError), (429, ThrottledError), (500, OutcomeUnknownError),
    (502, OutcomeUnknownError), (504, OutcomeUnknownError),
])  # fmt: skip
def test_where_the_same_twice_does_harm_a_lost_answer_is_held(
    api: ApiSimulator, status: int, error: type[Exception]
) -> None:
    api.fault("status", count=None, status=status)
    with pytest.raises(error):
        sent(api, "a", idempotent=False)
    assert posts(api) == (3 if error is ThrottledError else 1)


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "cut"])
def test_a_connection_that_breaks_is_tried_again_and_held_where_that_does_harm(api: ApiSimulator, kind: str) -> None:
    api.fault(kind)
    with pytest.raises(OutcomeUnknownError, match="half-way"):
        sent(api, "a", idempotent=False)
    assert posts(api) == 1
    api.fault(kind)
    assert words(sent(api, "b", answer=EACH)) == {0: "applied"}
    assert posts(api) == 3
    assert api.log()[-1].get("repeated", False) == (kind != "drop_before")
    api.fault(kind, count=None)
    with pytest.raises(TransientError):
        sent(api, "c")


def test_a_connection_is_used_once_where_a_lost_answer_would_be_held(api: ApiSimulator) -> None:
    """A server that closes an idle one just then would be a riddle for nothing."""
    sent(api, "a", idempotent=False)
    assert api.log()[-1]["headers"]["connection"] == "close"
    sent(api, "b")
    assert api.log()[-1]["headers"]["connection"] == "keep-alive"
    assert "authorization" not in api.log()[-1]["headers"]


def test_a_slow_answer_is_a_broken_one(api: ApiSimulator) -> None:
    api.fault("slow", seconds=0.5)
    with pytest.raises(OutcomeUnknownError, match="in time"):
        sent(api, "a", idempotent=False, timeout=0.1)
    api.fault("slow", seconds=0.5)
    assert words(sent(api, "b", timeout=0.1)) == {0: "applied"}


def test_an_answer_without_an_end_is_cut_off(api: ApiSimulator) -> None:
    """Each byte is in time, and the whole is not; the worker would hold its message for ever."""
    api.fault("drip", seconds=0.05)
    with pytest.raises(OutcomeUnknownError, match="in time"):
        sent(api, "a", idempotent=False, timeout=0.2)


def test_a_web_page_is_no_yes(api: ApiSimulator) -> None:
    """Portals answer 200 to everything."""
    api.fault("page")
    with pytest.raises(ConfigError, match="web page"):
        sent(api, "a")
    api.fault("page")
    with pytest.raises(OutcomeUnknownError, match="web page"):
        sent(api, "b", idempotent=False)


def test_what_never_left_is_no_riddle(api: ApiSimulator) -> None:
    api.stop()
    with pytest.raises(RuntimeError):
        _ = api.base_url
    with closing(opened(api.start(), idempotent=False)) as destination:
        (package,) = destination.render(ITEMS, items("a"))
        api.stop()
        with pytest.raises(TransientError, match="could not be reached"):
            destination.send(ITEMS, package)
    api.start()


def test_a_throttled_worker_waits_a_moment_and_its_subscription_longer(api: ApiSimulator) -> None:
    sleeps: list[float] = []
    api.fault("refuse", status=429, retry_after=7)
    with closing(opened(api, sleeps)) as destination:
        (package,) = destination.render(ITEMS, items("a"))
        destination.send(ITEMS, package)
        assert sleeps == [7.0]
        api.fault("refuse", status=503, retry_after=3600)
        with pytest.raises(ThrottledError) as raised:
            destination.send(ITEMS, package)
        assert raised.value.wait == 3600
        api.fault("refuse", status=429, retry_after="9" * 400)
        with pytest.raises(ThrottledError) as raised:
            destination.send(ITEMS, package)
    assert raised.value.wait == 86_400
    assert len(sleeps) == 1


def test_a_redirect_takes_nothing_elsewhere(api: ApiSimulator) -> None:
    """Neither token nor records; and the place it names is told without its path."""
    with ApiSimulator(["id"]) as other:
        api.fault(
            "refuse", status=307, location=f"{other.base_url.replace('127.0.0.1', 'localhost')}/secret/{DEMO_TOKEN}"
        )
        with pytest.raises(ConfigError, match="redirects to localhost") as raised:
            sent(api, "a")
        assert "secret" not in str(raised.value)
        assert other.log() == []


def test_409_may_say_that_a_record_is_in_the_way(api: ApiSimulator) -> None:
    api.fault("refuse", status=409)
    with pytest.raises(BatchRefusedError, match="ordered by a test"):
        sent(api, "a", conflict="refused")


def test_a_new_secret_is_found_while_the_worker_runs(api: ApiSimulator) -> None:
    """One that is refused is read again, once; nothing is told of either."""
    from postroad.sdk.secrets import Secret

    secrets = iter(["an-old-secret", DEMO_TOKEN])
    assert words(sent(api, "a", token=Secret(lambda: next(secrets)))) == {0: "applied"}
    with pytest.raises(AuthError) as raised:
        sent(api, "a", token=Secret.literal("an-old-secret"))
    assert "an-old-secret" not in str(raised.value)


# Results


def test_each_record_has_its_own_answer(api: ApiSimulator) -> None:
    sent(api, "a", version=5, answer=EACH)
    api.refuse(["b"], "no such\n shelf")
    api.later(["c"])
    found = sent(api, "a", "b", "c", "d", answer=EACH)
    assert words(found) == {0: "unchanged", 1: "rejected", 2: "retry", 3: "applied"}
    assert [(each.cause, each.sentence) for each in found if each.answer == "rejected"] == [
        ("refused", "no such shelf")
    ]


@pytest.mark.parametrize("partial", [207, 400, 409, 422])
def test_results_count_whatever_status_they_come_with(api: ApiSimulator, partial: int) -> None:
    api.switch(partial=partial)
    api.refuse(["b"])
    assert words(sent(api, "a", "b", answer=EACH)) == {0: "applied", 1: "rejected"}


def test_results_of_an_error_of_the_server_do_not_count(api: ApiSimulator) -> None:
    api.switch(partial=500)
    api.refuse(["b"])
    with pytest.raises(TransientError):
        sent(api, "a", "b", answer=EACH)


def test_a_batch_that_is_refused_whole_says_why(api: ApiSimulator) -> None:
    api.switch(answers="whole")
    api.refuse(["b"], "no shelf")
    with pytest.raises(BatchRefusedError, match="422: no shelf"):
        sent(api, "a", "b")
    assert words(sent(api, "a")) == {0: "applied"}


def test_a_record_that_is_not_mentioned_is_never_taken_for_applied(api: ApiSimulator) -> None:
    api.fault("half")
    assert words(sent(api, "a", "b", "c", answer=EACH)) == {0: "applied", 1: "retry", 2: "applied"}
    api.fault("half")
    found = sent(api, "d", "e", answer=EACH, idempotent=False)
    assert words(found) == {0: "applied", 1: "rejected"}
    assert found[1].cause == "unanswered"
    api.fault("half")
    with pytest.raises(RemoteError, match="1 results for 2 records"):
        sent(api, "f", "g", answer={name: value for name, value in EACH.items() if name != "id"})
    api.fault("half")
    assert words(sent(api, "h", "i", answer={**EACH, "unmentioned": "applied"})) == {0: "applied", 1: "applied"}


def test_results_may_name_only_what_is_refused(api: ApiSimulator) -> None:
    api.refuse(["b"], "no shelf")
    api.fault("half")
    wanted = {"results": "items", "id": "id", "message": "error", "unmentioned": "applied"}
    found = sent(api, "b", "a", answer=wanted)
    assert words(found) == {0: "rejected", 1: "applied"}
    assert found[0].sentence == "no shelf"


def test_an_unknown_word_is_never_taken_for_a_yes(api: ApiSimulator) -> None:
    api.fault("foreign_word")
    with pytest.raises(ConfigError, match="'mañana' at state"):
        sent(api, "a", answer=EACH)
    api.fault("foreign_word")
    with pytest.raises(OutcomeUnknownError, match="mañana"):
        sent(api, "b", answer=EACH, idempotent=False)


@pytest.mark.parametrize("kind", ["malformed", "deep", "huge", "empty"])
def test_an_answer_that_cannot_be_read_says_nothing(api: ApiSimulator, kind: str) -> None:
    api.fault(kind)
    with pytest.raises(RemoteError) as raised:
        sent(api, "a", answer=EACH)
    assert type(raised.value) is RemoteError
    api.fault(kind)
    with pytest.raises(OutcomeUnknownError):
        sent(api, "b", answer=EACH, idempotent=False)


def test_results_that_name_a_record_that_was_not_sent_are_those_of_somebody_else(api: ApiSimulator) -> None:
    with pytest.raises(RemoteError, match="was not sent"):
        sent(api, "a", answer={**EACH, "id": "state"})


def test_results_may_come_in_any_order(api: ApiSimulator) -> None:
    api.refuse(["a"])
    api.fault("swapped")
    assert words(sent(api, "a", "b", answer=EACH)) == {0: "rejected", 1: "applied"}


def test_the_key_has_as_many_paths_as_fields(api: ApiSimulator) -> None:
    with pytest.raises(ConfigError, match="2 fields"):
        sent(api, "a", answer={**EACH, "id": ["id", "state"]})


def test_a_receivers_sentence_moves_no_cursor() -> None:
    """Nor does it turn the line round: both in 8 bits as in 7."""
    told = sentence({"detail": "no\x1b[2J \x9b2J\r\nshelf \u202eelbat\u2069 here"})
    assert told == "no [2J 2J shelf elbat here"
