"""Suites that every connector runs, ours and those of plug-in authors.

Subclass one in a test module, named `Test…`, and give it a source that talks to a simulator over a socket.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa

from postroad.records import AMBIGUOUS, CHANGED_AT, OP, Feed, Json, Payload, Want
from postroad.sdk.connector import Source

ENOUGH = 1000  # payloads that no walk of a suite's simulator comes near


class SourceSuite(ABC):
    """What the engine relies on in every source (design section 5). The remote system holds some hundred rows."""

    @abstractmethod
    def source(self) -> Source:
        """A source, freshly opened; called several times in one test."""

    @abstractmethod
    def change_one(self) -> None:
        """Change one record of some entity in the remote system."""

    def test_checks_succeed(self) -> None:
        """Every step of the check has a name and succeeds against a healthy system."""
        with closing(self.source()) as source:
            steps = list(source.check())
        assert steps
        assert all(step.step and step.ok for step in steps), steps

    def test_discovery_is_stable(self) -> None:
        """Two discoveries name the same feeds; keys are columns; each entity has a walk."""
        with closing(self.source()) as one, closing(self.source()) as other:
            feeds = list(one.discover())
            assert [feed.name for feed in feeds] == [feed.name for feed in other.discover()]
        walked = {entity.name for feed in feeds if feed.kind == "walk" for entity in feed.entities}
        for feed in feeds:
            for entity in feed.entities:
                assert entity.name in walked
                assert set(entity.key) <= set(entity.schema.names)

    def test_a_walk_goes_on_from_every_cursor(self) -> None:
        """From the cursor after any payload, kept as JSON, exactly the later payloads follow."""
        for feed in self._feeds("walk"):
            pages = self._fetch(feed, None)
            for at, page in enumerate(pages):
                rest = self._fetch(feed, json.loads(json.dumps(page.cursor))) if at < len(pages) - 1 else []
                assert [each.identifier for each in rest] == [each.identifier for each in pages[at + 1 :]]

    def test_a_walk_closes_with_its_last_page(self) -> None:
        """Only the last page closes the scope, and it lands; what lands nothing only moves the cursor."""
        for feed in self._feeds("walk"):
            pages = self._fetch(feed, None)
            assert [page.closes for page in pages] == [False] * (len(pages) - 1) + [True]
            assert pages[-1].body is not None

    def test_an_unchanged_source_yields_nothing(self) -> None:
        """A feed that says so tells from the cursor of its last walk that nothing changed."""
        for feed in self._feeds("walk"):
            if feed.revalidates:
                cursor = json.loads(json.dumps(self._fetch(feed, None)[-1].cursor))
                assert self._fetch(feed, cursor) == []

    def test_parsing_is_pure(self) -> None:
        """A landed payload parses to the same rows again, in another source, without its cursor."""
        for feed in self._feeds("walk"):
            for page in self._fetch(feed, None):
                landed = Payload(page.body, None, page.identifier, page.entities, json.loads(json.dumps(page.meta)))
                assert self._parse(feed, page) == self._parse(feed, landed)

    def test_rows_follow_their_entity(self) -> None:
        """Parsed rows have the entity's columns and ours, and keys without nulls."""
        for feed in self._feeds("walk"):
            for page in self._fetch(feed, None):
                for name, records in self._parse(feed, page):
                    entity = feed.entity(name)
                    sent = entity.key if feed.scope.sweeps else entity.schema.names
                    wanted = {*sent, OP.name, CHANGED_AT.name}
                    assert wanted <= set(records.schema.names) <= wanted | {AMBIGUOUS.name}
                    for field in map(entity.schema.field, sent):
                        assert records.schema.field(field.name).type == field.type
                    assert all(records.column(key).null_count == 0 for key in entity.key)

    def test_changes_start_at_the_head_and_follow_it(self) -> None:
        """A first poll lands nothing and takes positions; then a change lands once, and nothing after it."""
        for feed in self._feeds("changes"):
            start = self._fetch(feed, None)
            assert all(payload.body is None for payload in start)
            cursor = start[-1].cursor
            assert set(cursor) == {entity.name for entity in feed.entities}
            self.change_one()
            news = self._fetch(feed, cursor)
            assert sum(records.num_rows for page in news if page.body for _, records in self._parse(feed, page)) == 1
            assert all(payload.body is None for payload in self._fetch(feed, news[-1].cursor))

    def _feeds(self, kind: str) -> Iterator[Feed]:
        with closing(self.source()) as source:
            yield from [feed for feed in source.discover() if feed.kind == kind]

    def _fetch(self, feed: Feed, cursor: Json) -> list[Payload]:
        with closing(self.source()) as source:
            want = Want(cursor, tuple(entity.name for entity in feed.entities))
            found = [payload for payload, _ in zip(source.fetch(feed, want), range(ENOUGH), strict=False)]
        assert len(found) < ENOUGH, "the feed does not end"
        return found

    def _parse(self, feed: Feed, payload: Payload) -> list[tuple[str, pa.RecordBatch]]:
        with closing(self.source()) as source:
            return [(rows.entity, rows.records) for rows in source.parse(feed, payload)]
