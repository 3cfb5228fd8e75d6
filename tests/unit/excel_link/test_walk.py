from __future__ import annotations

import json
from typing import Any

import pytest

from postroad.connectors.excel_link import connector
from postroad.errors import RemoteError
from postroad.records import ALL, Scope
from postroad.sdk.registry import load_connector
from tests.unit.excel_link.workbooks import CAPTIONS, LINK, TOKEN, Remote, feed_of, fetched, parsed, rows, xlsx


def kept(cursor: Any) -> Any:
    """A cursor as it comes back from the database."""
    return json.loads(json.dumps(cursor))


def test_the_connector_is_found_and_names_its_tables() -> None:
    assert load_connector(connector.name) is connector
    remote = Remote()
    assert connector.entities(remote.source()._settings) == ("t",)


def test_a_link_becomes_one_payload_that_closes_its_scope() -> None:
    remote = Remote(xlsx(rows("001", "002")), etag='"1"')
    source = remote.source()
    (payload,) = fetched(source)
    assert payload.closes
    assert (payload.body, payload.entities, payload.scope) == (remote.body, ("t",), "all")
    accepted, refused = parsed(source, payload)
    assert [row["Code"] for row in accepted] == ["001", "002"]
    assert not refused


def test_an_unchanged_file_costs_one_short_answer() -> None:
    remote = Remote(xlsx(rows("001")), etag='"1"', last_modified="Sun, 15 Mar 2026 11:00:00 GMT")
    source = remote.source()
    (payload,) = fetched(source)
    assert fetched(source, kept(payload.cursor)) == []
    assert remote.asked[-1].headers["if-none-match"] == '"1"'
    assert remote.asked[-1].headers["if-modified-since"] == "Sun, 15 Mar 2026 11:00:00 GMT"


def test_without_tags_the_digest_tells_an_unchanged_table_though_the_export_differs() -> None:
    first, second = xlsx(rows("001")), xlsx(rows("001"), constant_memory=False)
    remote = Remote(first)
    source = remote.source()
    (payload,) = fetched(source)
    remote.body = b"".join([second[:10], b"\x01\x02", second[12:]])  # another time in the zip's first local header
    assert remote.body != first
    assert fetched(source, kept(payload.cursor)) == []
    remote.body = xlsx(rows("001", "002"))
    assert len(fetched(source, kept(payload.cursor))) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"columns": {"Code": "text", "Name": "text"}},
        {"columns": {"Code": "text", "Name": {"type": "text", "as": "title"}, "Rate": "decimal", "From": "date"}},
        {"key": ["Name"]},
        {"sheet": "Sheet1"},
        {"parameters": {"d_date_from-ne": "1999-12-31"}},
        {"link": LINK + "x"},
    ],
)
def test_another_declaration_reads_an_unchanged_file_again(change: dict[str, Any]) -> None:
    remote = Remote(xlsx(rows("001")), etag='"1"')
    (payload,) = fetched(remote.source())
    (again,) = fetched(remote.source(change), kept(payload.cursor))
    assert "if-none-match" not in remote.asked[-1].headers
    assert again.cursor["fingerprint"] != payload.cursor["fingerprint"]


def test_several_links_are_scopes_and_a_column_names_them() -> None:
    links = {"north": LINK, "south": LINK + "2"}
    remote = Remote(xlsx(rows("001")))
    source = remote.source({"link": None, "links": links})
    feeds = list(source.discover())
    assert [feed.name for feed in feeds] == ["t.north", "t.south"]
    assert [feed.scope for feed in feeds] == [
        Scope("north", column="link", equals="north"),
        Scope("south", column="link", equals="south"),
    ]
    assert all(feed.revalidates for feed in feeds)
    assert feeds[0].entities[0].key == ("link", "Code")
    (payload,) = fetched(source, name="t.south")
    assert (payload.scope, payload.identifier) == ("south", "south")
    assert parsed(source, payload, "t.south")[0][0]["link"] == "south"


def test_one_link_is_the_whole_entity() -> None:
    source = Remote().source()
    assert feed_of(source).scope == ALL
    assert feed_of(source).entities[0].schema.names == list(CAPTIONS)


def test_each_period_is_a_scope_and_fills_the_link() -> None:
    table = {
        "link": LINK + "&month={month}",
        "parameters": {"r_period-er": "{xledger_period}"},
        "periods": "last 3 months",
    }
    remote = Remote(xlsx(rows("001")))
    source = remote.source(table)
    feeds = list(source.discover())
    assert [feed.name for feed in feeds] == ["t.2026-01", "t.2026-02", "t.2026-03"]
    assert feeds[0].scope == Scope("2026-01", column="period", equals="2026-01")
    assert feeds[0].entities[0].key == ("period", "Code")
    (payload,) = fetched(source, name="t.2026-02")
    assert str(remote.asked[-1].url).endswith("&month=02&r_period-er=6674")
    assert parsed(source, payload, "t.2026-02")[0][0]["period"] == "2026-02"


def test_periods_of_several_links_are_told_by_the_link() -> None:
    source = Remote().source({"link": None, "links": {"a": LINK + "{year}"}, "periods": ["2025-12", "2026-01.."]})
    feeds = list(source.discover())
    assert [feed.name for feed in feeds] == ["t.a.2025-12", "t.a.2026-01", "t.a.2026-02", "t.a.2026-03"]
    assert feeds[0].scope == Scope("a.2025-12", column="link", equals="a.2025-12")
    assert feeds[0].entities[0].key == ("link", "period", "Code")


def test_nothing_that_leaves_a_fetch_shows_the_link() -> None:
    remote = Remote(xlsx(rows("001")), etag='"1"')
    source = remote.source({"every": "12h"})
    (payload,) = fetched(source)
    shown = f"{payload.cursor} {payload.meta} {payload.identifier} {feed_of(source)} {source._settings!r}"
    assert TOKEN not in shown
    assert "links.test" not in shown
    assert feed_of(source).every == 12 * 3600


def test_a_file_that_cannot_be_used_yields_nothing() -> None:
    remote = Remote(xlsx(rows("001"), captions=["Kode", "Name", "Rate", "From"]))
    with pytest.raises(RemoteError) as raised:
        fetched(remote.source())
    assert "row 1 of sheet Sheet1 has no column 'Code'; it has 'Kode', 'Name', 'Rate', 'From'" in str(raised.value)
    assert "did you mean 'Kode'?" in str(raised.value)
