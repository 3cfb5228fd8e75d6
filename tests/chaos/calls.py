"""The requests of killed runs: what was answered in full is asked again at most once per kill and feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HARMLESS = {"script", "latency"}

Entry = Mapping[str, Any]
Walk = tuple[str, int]
"""A feed and the number of its newest walk."""


@dataclass
class Calls:
    """Requests answered in full: pages by walk, polls that found changes by position, and the kills that excuse
    asking for one again.
    """

    pages: Counter[tuple[Walk, Any]] = field(default_factory=Counter)
    moves: Counter[tuple[int, Any]] = field(default_factory=Counter)
    kills_in_walk: Counter[Walk] = field(default_factory=Counter)
    kills: int = 0
    era: int = 0

    def add(self, entries: Iterable[Entry], walks: Mapping[str, int], killed: bool) -> None:
        """The requests of one life, which itself never asks for the same twice."""
        pages: Counter[tuple[Walk, Any]] = Counter()
        moves: Counter[tuple[int, Any]] = Counter()
        rests: Counter[Any] = Counter()
        for entry in entries:
            if not _in_full(entry):
                continue
            if "table" in entry:
                feed = f"links.{entry['feed']}"
                # Another version may hold the same rows, and then begins no walk.
                pages[(feed, walks.get(feed, 0)), entry["version"]] += 1
                continue
            roots: Counter[str] = Counter(entry["roots"])
            variables = entry["variables"] or {}
            if any(root.endswith("_deltas") for root in roots):
                after = tuple(sorted((name, value) for name, value in variables.items() if name.endswith("_after")))
                (moves if entry["moved"] else rests)[(self.era, after)] += 1
            elif "after" in variables or (not variables and roots.total() - roots["entities"] == 1):
                # Not the two roots of a forecast, nor rows by their ids.
                feed = f"xledger.{entry['walked']}"
                pages[(feed, walks.get(feed, 0)), variables.get("after")] += 1
        assert all(count == 1 for count in pages.values()), f"one run asked twice for a page: {pages.most_common(2)}"
        assert all(count == 1 for count in moves.values()), f"one run asked twice for changes: {moves.most_common(2)}"
        # Two polls, and after each the second look of sequence 4.
        assert all(count <= 4 for count in rests.values()), f"one run asked too often: {rests.most_common(2)}"
        self.pages += pages
        self.moves += moves
        self.kills += killed
        for walk in walks.items():
            self.kills_in_walk[walk] += killed

    def check(self) -> int:
        """The requests made again, each excused by a kill; how many."""
        by_walk: Counter[Walk] = Counter()
        for (walk, _), count in self.pages.items():
            by_walk[walk] += count - 1
        for walk, again in by_walk.items():
            assert again <= self.kills_in_walk[walk], (
                f"{walk}: {again} pages asked again, {self.kills_in_walk[walk]} kills"
            )
        moved_again = sum(count - 1 for count in self.moves.values())
        assert moved_again <= self.kills, f"{moved_again} changes asked for again, {self.kills} kills"
        return by_walk.total() + moved_again


def _in_full(entry: Entry) -> bool:
    well = entry["status"] == 200 and entry["answered"] and not entry.get("failed")
    return bool(well and not set(entry.get("faults", ())) - HARMLESS)
