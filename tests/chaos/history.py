"""A seeded history: a company changes, runs are begun and killed, and again and again the law is asked for.

What is drawn from the seed: companies, changes, orders, faults, which stage is aimed at, how long after its line the
kill falls. What the machine adds is time itself, so a history does not repeat to the microsecond.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.telemetry import Stage
from tests import oracle
from tests.chaos.nursery import Life, Nursery
from tests.flow.shown import entity_shown

UNREADABLE_HOURS = "n/a"
SMOOTHING = 0.2
HARMLESS = {"script", "latency"}

PROJECT = """\
project: chaos
lake: ./lake
database: sqlite:///postroad.db
connections:
  xledger: {{connector: xledger, url: "{url}", token: secret://XLEDGER_TOKEN, page_size: {page}, burst: 1000000}}
"""
FLOW = "sync:\n  - {from: xledger, entities: [timesheets]}\n"


@dataclass
class Tally:
    """Kills that counted by the stage named last, those that hit nobody's claim, and victims that were quicker."""

    kills: Counter[Stage] = field(default_factory=Counter)
    idle: int = 0
    missed: int = 0
    laws: int = 0
    projects: int = 0
    lives: int = 0
    requests: int = 0
    repeated: int = 0
    seconds: float = 0.0

    @property
    def counted(self) -> int:
        """The kills of a process that held a claim."""
        return self.kills.total()

    def table(self, seed: int) -> str:
        """For the log of a test run."""
        widths = [max(len(stage), 5) for stage in Stage]
        head = "  ".join(f"{stage:>{width}}" for stage, width in zip(Stage, widths, strict=True))
        line = "  ".join(f"{self.kills[stage]:>{width}}" for stage, width in zip(Stage, widths, strict=True))
        return f"kills by stage (seed {seed})\n  {head}  total\n  {line}  {self.counted:>5}\n  {self.summary()}"

    def summary(self) -> str:
        """One line, as it stands in the README."""
        stages = ", ".join(f"{stage} {self.kills[stage]:,}" for stage in Stage)
        return (
            f"{self.counted:,} kills -9 of {self.lives:,} runs in {self.seconds:,.0f} s ({stages}); "
            f"the law held {self.laws:,} times over {self.projects:,} projects; "
            f"{self.repeated:,} of {self.requests:,} requests were made again; "
            f"{self.idle:,} more kills hit a process without a claim, {self.missed:,} came too late"
        )


@dataclass
class Calls:
    """Requests answered in full: pages by walk, polls that found changes by position, and the kills that excuse
    asking for one again.
    """

    pages: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    moves: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    kills_in_walk: Counter[int] = field(default_factory=Counter)
    kills: int = 0
    era: int = 0

    def add(self, entries: list[dict[str, Any]], walk: int, killed: bool) -> None:
        """The requests of one life, which itself never asks for the same twice."""
        pages: Counter[tuple[int, str | None]] = Counter()
        moves: Counter[tuple[int, str | None]] = Counter()
        rests: Counter[str | None] = Counter()
        for entry in entries:
            if entry["failed"] or not entry["answered"] or set(entry["faults"]) - HARMLESS:
                continue
            roots, variables = Counter(entry["roots"]), entry["variables"] or {}
            if roots["timesheets"] == 1 and "timesheets_ids" not in variables:
                pages[walk, variables.get("after")] += 1
            elif roots["timesheet_deltas"] == 2:
                after = variables.get("timesheets_after")
                if entry["rows"] - roots["entities"] > 1:
                    moves[self.era, after] += 1
                else:
                    rests[after] += 1
        assert all(count == 1 for count in pages.values()), f"one run asked twice for a page: {pages.most_common(2)}"
        assert all(count == 1 for count in moves.values()), f"one run asked twice for changes: {moves.most_common(2)}"
        # Two polls, and after each the second look of sequence 4.
        assert all(count <= 4 for count in rests.values()), f"one run asked too often: {rests.most_common(2)}"
        self.pages += pages
        self.moves += moves
        self.kills += killed
        self.kills_in_walk[walk] += killed

    def check(self) -> int:
        """The requests made again, each excused by a kill; how many."""
        by_walk: Counter[int] = Counter()
        for (walk, _), count in self.pages.items():
            by_walk[walk] += count - 1
        for walk, again in by_walk.items():
            assert again <= self.kills_in_walk[walk], f"{again} pages asked again, {self.kills_in_walk[walk]} kills"
        moved_again = sum(count - 1 for count in self.moves.values())
        assert moved_again <= self.kills, f"{moved_again} changes asked for again, {self.kills} kills"
        return by_walk.total() + moved_again


@dataclass
class Episode:
    """One project and the company that it reads."""

    folder: Path
    simulator: XledgerSimulator
    kills: int
    calls: Calls = field(default_factory=Calls)
    dead: set[int] = field(default_factory=set)
    unseen: bool = False

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """From the tracking database, which may not be there yet."""
        database = self.folder / "postroad.db"
        if not database.exists():
            return []
        with closing(sqlite3.connect(database, timeout=30)) as db:
            try:
                return db.execute(query).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def holds(self, pid: int) -> bool:
        """Whether a process held a claim when it died."""
        held = self.ask("select holder from runs where status = 'running' and holder is not null")
        return any(json.loads(holder)["pid"] == pid for (holder,) in held)

    def walk(self) -> int:
        """The newest walk."""
        found = self.ask("select max(id) from walks where kind = 'walk'")
        return int(found[0][0] or 0) if found else 0

    @property
    def settled(self) -> bool:
        """Whether nothing is open or due."""
        due = self.ask("select entity from entities where due_reason is not null")
        return bool(self.ask("select id from walks where status = 'closed'")) and not due and not self.walk_open

    @property
    def walk_open(self) -> bool:
        """Whether a walk waits for pages or for its close."""
        return bool(self.ask("select id from walks where kind = 'walk' and status = 'open'"))

    @property
    def loaded(self) -> bool:
        """Whether a first load was closed."""
        return bool(self.ask("select id from walks where status = 'closed'"))


def write_project(folder: Path, simulator: XledgerSimulator, page: int) -> None:
    """A project that reads a company in pages of so many rows."""
    (folder / "flows").mkdir(parents=True)
    (folder / "postroad.yaml").write_text(PROJECT.format(url=simulator.url, page=page))
    (folder / "flows" / "hours.yaml").write_text(FLOW)
    (folder / ".env").write_text(f"XLEDGER_TOKEN={simulator.token}\n")


class History:
    """Draws rounds until enough kills counted. Every law is asserted where it is asked for."""

    def __init__(self, nursery: Nursery, folder: Path, seed: int) -> None:
        self._nursery = nursery
        self._folder = folder
        self._draw = random.Random(seed)
        self._warm = False
        self._lasts: dict[Stage, float] = dict.fromkeys(Stage, 0.01)
        self._life = 0.5
        self.tally = Tally()

    def run(self, kills: int) -> Tally:
        """Go on until so many kills counted and every stage has one."""
        began = time.monotonic()
        while self.tally.counted < kills or not all(self.tally.kills[stage] for stage in Stage):
            assert self.tally.lives < 6 * kills + 100, f"some stage cannot be hit: {self.tally.kills}"
            episode = self._new_project()
            try:
                self._live_through(episode, kills)
                self._look(episode)
            finally:
                episode.simulator.stop()
            self.tally.seconds = time.monotonic() - began
            shutil.rmtree(episode.folder)
        return self.tally

    def _new_project(self) -> Episode:
        self.tally.projects += 1
        simulator = XledgerSimulator(
            seed=self._draw.randrange(1_000_000),
            timesheets=self._draw.choice((150, 400, 600, 900)),
            burst=None,
            concurrency=None,
            current_available=self._draw.random() < 0.8,
            expired_cursor=self._draw.choice(("error", "oldest", "empty")),
            null_reference=self._draw.choice(("null", "zero")),
        ).start()
        folder = self._folder / f"project-{self.tally.projects}"
        write_project(folder, simulator, self._draw.choice((30, 60, 100)))
        return Episode(folder, simulator, self._draw.randrange(12, 20))

    def _live_through(self, episode: Episode, kills: int) -> None:
        if not self._warm:
            self._peaceful(episode)  # The nursery learns what a life needs.
            self._warm = True
        until = self.tally.counted + episode.kills
        while self.tally.counted < until:
            pause = self.tally.counted + self._draw.randrange(4, 8)
            rounds = 0
            while self.tally.counted < pause and rounds < 20:
                self._round(episode)
                rounds += 1
            self._settle(episode)
            if self.tally.counted >= kills and all(self.tally.kills[stage] for stage in Stage):
                return

    # ---- one round ----

    def _round(self, episode: Episode) -> None:
        target = self._target(episode)
        troubled = self._troubles(episode)
        order = self._order(episode, target, troubled)
        life = self._nursery.bear(order)
        self._kill(life, target)
        self._account(episode, life)
        if troubled:
            episode.simulator.clear_faults()

    def _target(self, episode: Episode) -> Stage | None:
        """The stage to aim at: those that were hit least are likelier; None for a shot in the dark."""
        if self._draw.random() < 0.12:
            return None
        stages = list(Stage) if episode.loaded else [Stage.FETCH, Stage.LAND, Stage.STAGE, Stage.CLOSE]
        return self._draw.choices(stages, [1 / (1 + self.tally.kills[stage]) for stage in stages])[0]

    def _troubles(self, episode: Episode) -> bool:
        """What happens in the company, before and while the run looks; whether the remote system misbehaves too."""
        simulator, draw = episode.simulator, self._draw
        if draw.random() < 0.8:
            self._change(episode)
        if draw.random() < 0.3:
            call, most = draw.choice((("mutate", 20), ("delete", 3), ("add", 5)))
            argument = {"which" if call == "delete" else "n": draw.randrange(1, most)}
            simulator.fault("script", skip=draw.randrange(6), call=call, arguments=argument)
        if draw.random() < 0.85:
            return False
        for _ in range(draw.randrange(1, 4)):
            kind = draw.choice(("status", "html", "drop", "malformed", "query_timeout", "concurrency", "repeat_cursor"))
            simulator.fault(kind, count=draw.choice((1, 1, 2, 6)), skip=draw.randrange(6))
        return True

    def _change(self, episode: Episode) -> None:
        simulator, draw = episode.simulator, self._draw
        simulator.mutate(draw.randrange(1, 25))
        simulator.add(draw.randrange(4))
        simulator.delete(draw.randrange(1, 4))
        rare = draw.random()
        if rare < 0.05:
            # Nobody looked for four days: all changes are forgotten, also those of which nobody was told.
            simulator.advance(days=4)
            episode.calls.era += 1
        elif rare < 0.10:
            simulator.update(self._someone(episode), delta=False, workingHours="3.25")
            episode.unseen = True
        elif rare < 0.15:
            simulator.update(self._someone(episode), workingHours=UNREADABLE_HOURS)
        elif rare < 0.18:
            node = simulator.rows()[self._someone(episode)]
            if node["project"] and node["project"]["dbId"]:
                simulator.rename_project(node["project"]["dbId"], f"Nytt namn {draw.randrange(1000)}")

    def _someone(self, episode: Episode) -> int:
        return self._draw.choice(sorted(episode.simulator.rows()))

    def _order(self, episode: Episode, target: Stage | None, troubled: bool) -> dict[str, Any]:
        draw, folder = self._draw, str(episode.folder)
        walking = target in (Stage.FETCH, Stage.LAND, Stage.STAGE, Stage.CLOSE, None)
        if target == Stage.CLOSE and episode.loaded and draw.random() < 0.25:
            return {"command": ["replay", "xledger.timesheets", "--verbose", "--project", folder]}
        full = episode.loaded and walking and draw.random() < 0.75
        limit = draw.randrange(1, 4) if draw.random() < 0.1 else None
        if troubled:
            return {"rehearse": {"folder": folder, "full_refresh": full, "limit": limit}}
        words = ["run", "--verbose", "--project", folder]
        words += ["--full-refresh"] * full + (["--limit", str(limit)] if limit else [])
        return {"command": words}

    def _kill(self, life: Life, target: Stage | None) -> None:
        """Wait for the stage's nth line, then a part of the time that the stage usually takes, then kill."""
        if target is None:
            time.sleep(self._draw.random() * self._life)
        elif self._reached(life, target):
            time.sleep(self._draw.random() * 1.2 * self._lasts[target])
        if not life.dead:
            life.kill()

    def _reached(self, life: Life, target: Stage) -> bool:
        left = self._draw.choice((1, 1, 2, 4, 7) if target in (Stage.FETCH, Stage.LAND, Stage.STAGE) else (1, 1, 1, 2))
        for stage in life.watch():
            left -= stage == target
            if not left:
                return True
        return False

    # ---- after it ----

    def _account(self, episode: Episode, life: Life) -> None:
        """Bury a victim and count what it did."""
        code = life.bury()
        killed = code == -9
        assert killed or code in (0, 1, 3), f"a victim left with {code}: {life.events}\n{life.told()}"
        assert not any(event["event"] == "crash" for event in life.events), life.told()
        self.tally.lives += 1
        held = killed and episode.holds(life.pid)
        if killed:
            episode.dead.add(life.pid)
        if held and life.last_stage is not None:
            self.tally.kills[life.last_stage] += 1
        elif killed:
            self.tally.idle += 1
        else:
            self.tally.missed += 1
        self._learn(life, killed)
        entries = list(episode.simulator.requests)
        episode.simulator.requests.clear()
        self.tally.requests += len(entries)
        episode.calls.add(entries, episode.walk(), killed)

    def _learn(self, life: Life, killed: bool) -> None:
        """How long a stage takes here and now."""
        for (began, stage), (ended, _) in zip(life.stages, life.stages[1:], strict=False):
            self._lasts[stage] += SMOOTHING * (min(ended - began, 1.0) - self._lasts[stage])
        if life.stages and not killed:
            self._life += SMOOTHING * (life.stages[-1][0] - life.stages[0][0] + 0.2 - self._life)

    def _settle(self, episode: Episode) -> None:
        """Nobody disturbs any more: run to completion, then the law."""
        episode.simulator.clear_faults()
        self._complete(episode)
        if episode.unseen:
            self._peaceful(episode, "--full-refresh")
            self._complete(episode)
            episode.unseen = False
        oracle.assert_law(episode.folder, [entity_shown(episode.simulator, "timesheets")], dead=episode.dead)
        self.tally.repeated += episode.calls.check()
        episode.calls = Calls(era=episode.calls.era)
        self.tally.laws += 1

    def _look(self, episode: Episode) -> None:
        """What the commands say after all that."""
        status = self._nursery.bear({"command": ["status", "--json", "--project", str(episode.folder)]})
        assert status.bury() == 0, status.told()
        assert '"state": "in step"' in status.told(), status.told()
        check = self._nursery.bear({"command": ["check", "--project", str(episode.folder)]})
        assert check.bury() == 0, check.told()

    def _complete(self, episode: Episode) -> None:
        for _ in range(20):
            self._peaceful(episode)
            if episode.ask("select id from runs where status = 'waiting'"):
                time.sleep(0.5)  # The last fault asked for a pause of a second or two: the next run goes on after it.
            elif episode.settled:
                return
        raise AssertionError(f"twenty runs in peace and still not done: {episode.ask('select * from entities')}")

    def _peaceful(self, episode: Episode, *words: str) -> None:
        life = self._nursery.bear({"command": ["run", "--verbose", "--project", str(episode.folder), *words]})
        code = life.bury()
        assert code in (0, 3), f"a run in peace left with {code}: {life.events}\n{life.told()}"
        self.tally.lives += 1
        self._learn(life, killed=False)
        entries = list(episode.simulator.requests)
        episode.simulator.requests.clear()
        self.tally.requests += len(entries)
        episode.calls.add(entries, episode.walk(), killed=False)
