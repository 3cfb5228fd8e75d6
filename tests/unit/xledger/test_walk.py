from __future__ import annotations

from typing import Any

import pytest

from postroad.errors import CursorExpiredError, RemoteError
from postroad.records import Payload, Want
from tests.unit.xledger.remote import Remote, feeds, project, sheet


@pytest.fixture
def remote() -> Remote:
    remote = Remote()
    remote.rows["timesheets"] = [sheet(key) for key in range(1, 6)]
    remote.rows["projects"] = [project(3)]
    return remote


def walk(remote: Remote, cursor: Any = None, name: str = "timesheets", **settings: Any) -> list[Payload]:
    source = remote.source(**{"page_size": 2, **settings})
    return list(source.fetch(feeds(source)[name], Want(cursor=cursor)))


def test_a_walk_yields_every_page_and_closes_with_the_last(remote: Remote) -> None:
    pages = walk(remote)
    assert [page.identifier for page in pages] == ["after=", "after=0002", "after=0004"]
    assert [page.closes for page in pages] == [False, False, True]
    assert [page.cursor["after"] for page in pages] == ["0002", "0004", "0005"]
    assert all(page.entities == ("timesheets",) and page.scope == "all" for page in pages)


def test_a_walk_goes_on_after_its_cursor(remote: Remote) -> None:
    cursor = walk(remote)[0].cursor
    assert [page.identifier for page in walk(remote, cursor)] == ["after=0002", "after=0004"]


def test_the_tenant_is_asked_in_the_first_document_only(remote: Remote) -> None:
    walk(remote)
    assert ["tenant" in asked["query"] for asked in remote.asked] == [True, False, False]


def test_every_document_sends_the_same_scope(remote: Remote) -> None:
    walk(remote)
    walk(remote, name="projects")
    texts = [asked["query"] for asked in remote.asked]
    assert all("ownerSet: MINE" in text for text in texts)
    assert ["objectStatus: ALL" in text for text in texts] == [True, True, True, False]


@pytest.mark.parametrize("change", ["tenant", "url", "owner_set", "object_status"])
def test_sequence_foreign_cursor_is_refused_before_any_row(remote: Remote, change: str) -> None:
    cursor = walk(remote)[0].cursor
    settings = {"url": "http://other.test/graphql", "owner_set": "LOWER", "object_status": "OPEN"}
    if change == "tenant":
        remote.tenant = 78
    source = remote.source(**({change: settings[change]} if change in settings else {}))
    pages = source.fetch(feeds(source)["timesheets"], Want(cursor=cursor))
    with pytest.raises(CursorExpiredError) as raised:
        next(pages)
    assert raised.value.foreign
    assert raised.value.entities == ("timesheets",)


def test_without_the_tenant_check_nobody_asks_for_it(remote: Remote) -> None:
    remote.tenant = None
    assert walk(remote, tenant_check=False)
    assert not any("tenant" in asked["query"] for asked in remote.asked)


def test_a_token_that_cannot_see_its_company_names_the_switch(remote: Remote) -> None:
    remote.tenant = None
    with pytest.raises(RemoteError, match="tenant_check: false"):
        walk(remote)


def test_null_edges_are_an_empty_page_that_closes(remote: Remote) -> None:
    remote.rows["timesheets"] = []
    (page,) = walk(remote)
    assert page.closes
    assert page.cursor["after"] is None
    assert page.body is not None


@pytest.mark.parametrize(
    "answer",
    [
        {"pageInfo": {"hasNextPage": True}, "edges": None},
        {"pageInfo": {"hasNextPage": True}, "edges": [{"cursor": "0002", "node": sheet(2)}]},
        {"pageInfo": {"hasNextPage": False}, "edges": [{"cursor": "0002", "node": sheet(2)}]},
        {"pageInfo": {"hasNextPage": True}, "edges": [{"node": sheet(2)}]},
        None,
        {"edges": [{"cursor": 5}]},
        {"edges": "none"},
    ],
)
def test_weakness_21_a_page_that_does_not_advance_yields_nothing(remote: Remote, answer: Any) -> None:
    cursor = walk(remote)[0].cursor
    remote.overlay["timesheets"] = answer
    with pytest.raises(RemoteError):
        walk(remote, cursor)


def test_weakness_21_a_circle_of_cursors_ends(remote: Remote) -> None:
    first = {"pageInfo": {"hasNextPage": True}, "edges": [{"cursor": "1", "node": sheet(1)}]}
    second = {"pageInfo": {"hasNextPage": True}, "edges": [{"cursor": "2", "node": sheet(2)}]}
    tenant = {"edges": [{"node": {"dbId": 77}}]}
    remote.scripted = [remote.respond({"data": {"timesheets": page, "tenant": tenant}}) for page in [first, second] * 9]
    with pytest.raises(RemoteError, match="circles"):
        walk(remote)
    assert len(remote.asked) == 3


def test_a_refused_walk_cursor_is_an_expired_one(remote: Remote) -> None:
    cursor = walk(remote)[0].cursor
    remote.errors["timesheets"] = {"message": "Invalid cursor."}
    with pytest.raises(CursorExpiredError):
        walk(remote, cursor)
