"""A seeded history: a company changes, runs are begun and killed, and again and again the law is asked for.

What is drawn from the seed: companies, changes, orders, faults, which stage is aimed at, how long after its line the
kill falls. What the machine adds is time itself, so a history does not repeat to the microsecond.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from postroad.telemetry import Stage
from tests import oracle
from tests.chaos.calls import Calls
from tests.chaos.episode import DELIVERED, ENTITIES, OTHERS, RECEIVER, Episode
from tests.chaos.nursery import Life, Named, Nursery
from tests.flow.shown import DUMMY_DAY, TABLES

UNREADABLE_HOURS = "n/a"
SMOOTHING = 0.2
LONG = "xledger.timesheets"
SYNCING = (Stage.FETCH, Stage.LAND, Stage.NORMALISE, Stage.STAGE, Stage.CLOSE, Stage.MATERIALISE)
DELIVERING = (Stage.DISPATCH, Stage.DRAIN)
STAGES = (*SYNCING, *DELIVERING)
PAGED = (Stage.FETCH, Stage.LAND, Stage.STAGE)
OF_LINKS = (Stage.FETCH, Stage.LAND, Stage.STAGE, Stage.CLOSE, Stage.MATERIALISE)
WALKING = (Stage.FETCH, Stage.LAND, Stage.STAGE, Stage.CLOSE)


@dataclass(frozen=True)
class Aim:
    """What a kill is to hit: work on a dataset, or on any; a stage of it, or (None) a shot in the dark."""

    dataset: str
    stage: Stage | None = None
    anywhere: bool = False

    @property
    def linked(self) -> bool:
        """Whether it is work on a link."""
        return self.dataset.startswith("links.")

    def hits(self, named: Named) -> bool:
        """Whether a victim named what is aimed at."""
        return named.stage is self.stage and named.linked == self.linked


@dataclass
class Tally:
    """Kills that counted by the stage named last, how many of them in a link's run, those that hit nobody's claim, and
    victims that were quicker.
    """

    kills: Counter[Stage] = field(default_factory=Counter)
    linked: int = 0
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

    @property
    def everywhere(self) -> bool:
        """Whether every stage was hit, and runs of links."""
        return all(self.kills[stage] for stage in STAGES) and self.linked > 0

    def table(self, seed: int) -> str:
        """For the log of a test run."""
        widths = [max(len(stage), 5) for stage in STAGES]
        head = "  ".join(f"{stage:>{width}}" for stage, width in zip(STAGES, widths, strict=True))
        line = "  ".join(f"{self.kills[stage]:>{width}}" for stage, width in zip(STAGES, widths, strict=True))
        return f"kills by stage (seed {seed})\n  {head}  total\n  {line}  {self.counted:>5}\n  {self.summary()}"

    def summary(self) -> str:
        """One line, as it stands in the README."""
        stages = ", ".join(f"{stage} {self.kills[stage]:,}" for stage in STAGES)
        return (
            f"{self.counted:,} kills -9 of {self.lives:,} runs in {self.seconds:,.0f} s "
            f"({stages}; {self.linked:,} in runs of links); "
            f"the law held {self.laws:,} times for all datasets of {self.projects:,} projects; "
            f"{self.repeated:,} of {self.requests:,} requests were made again; "
            f"{self.idle:,} more kills hit a process without a claim, {self.missed:,} came too late"
        )


class History:
    """Draws rounds until enough kills counted. Every law is asserted where it is asked for.

    `server`: an address of PostgreSQL that holds the books of the project at hand.
    """

    def __init__(self, nursery: Nursery, folder: Path, seed: int, server: str | None = None) -> None:
        self._nursery = nursery
        self._folder = folder
        self._draw = random.Random(seed)
        self._server = server
        self._warm = False
        self._lasts: dict[Stage, float] = dict.fromkeys(Stage, 0.01)
        self._life = 0.5
        self.tally = Tally()

    def run(self, kills: int) -> Tally:
        """Go on until so many kills counted and every stage has one."""
        began = time.monotonic()
        while self.tally.counted < kills or not self.tally.everywhere:
            assert self.tally.lives < 6 * kills + 100, f"some stage cannot be hit: {self.tally.kills}"
            episode = self._new_project()
            try:
                self._live_through(episode, kills)
                self._look(episode)
            finally:
                episode.stop()
            self.tally.seconds = time.monotonic() - began
            shutil.rmtree(episode.folder)
        return self.tally

    def _new_project(self) -> Episode:
        self.tally.projects += 1
        if self._server is not None:
            with psycopg.connect(self._server, autocommit=True) as books:
                books.execute("drop schema public cascade")
                books.execute("create schema public")
        return Episode.drawn(self._folder / f"project-{self.tally.projects}", self._draw, self._server)

    def _live_through(self, episode: Episode, kills: int) -> None:
        if not self._warm:
            self._peaceful(episode)  # The nursery learns what a life needs.
            self._warm = True
        until = self.tally.counted + episode.kills
        while self.tally.counted < until:
            pause = self.tally.counted + self._draw.randrange(7, 12)
            if self.tally.everywhere:
                pause = min(pause, max(kills, self.tally.counted + 1))
            rounds = 0
            while self.tally.counted < pause and rounds < 20:
                self._round(episode)
                rounds += 1
            self._settle(episode)
            if self.tally.counted >= kills and self.tally.everywhere:
                return

    # ---- one round ----

    def _round(self, episode: Episode) -> None:
        aim = self._aim(episode)
        troubled = self._troubles(episode, aim)
        order = self._order(episode, aim, troubled)
        life = self._nursery.bear(order)
        self._kill(life, aim)
        self._account(episode, life)
        if troubled:
            for source in episode.sources:
                source.clear_faults()

    def _aim(self, episode: Episode) -> Aim:
        """What to hit: stages that were hit least are likelier."""
        kind = self._draw.random()
        linked = kind < 0.22
        names = [f"links.{table}" for table in TABLES] if linked else [f"xledger.{each}" for each in ENTITIES]
        names = names if kind < 0.55 else [each for each in DELIVERED if not each.startswith("links.")]
        dataset = self._draw.choice(names)
        if self._draw.random() < 0.12:
            return Aim(dataset)
        stages = OF_LINKS if linked else SYNCING if dataset in episode.loaded else WALKING
        if dataset in DELIVERED and not linked:
            stages = (*stages, *DELIVERING)
        return Aim(dataset, self._draw.choices(stages, [1 / (1 + self.tally.kills[stage]) for stage in stages])[0])

    def _troubles(self, episode: Episode, aim: Aim) -> bool:
        """What happens at the sources, before and while the run looks; whether they misbehave too."""
        simulator, draw = episode.simulator, self._draw
        if draw.random() < 0.8:
            self._change(episode)
        if draw.random() < 0.5:
            self._trade(episode)
        self._rework(episode, aim.dataset.removeprefix("links.") if aim.linked else draw.choice([*TABLES]))
        if draw.random() < 0.3:
            call, most = draw.choice((("mutate", 20), ("delete", 3), ("add", 5)))
            argument = {"which" if call == "delete" else "n": draw.randrange(1, most), "entity": draw.choice(ENTITIES)}
            simulator.fault("script", skip=draw.randrange(6), call=call, arguments=argument)
        if draw.random() < 0.85:
            return False
        for _ in range(draw.randrange(1, 4)):
            kind = draw.choice(("status", "html", "drop", "malformed", "query_timeout", "concurrency", "repeat_cursor"))
            simulator.fault(kind, count=draw.choice((1, 1, 2, 6)), skip=draw.randrange(6))
            kind = draw.choice(("status", "html", "expired", "truncated", "malformed", "redirect"))
            episode.links.fault(kind, count=draw.choice((1, 1, 2, 6)), skip=draw.randrange(6))
            kind = draw.choice(
                ("status", "html", "drop", "malformed", "outcome", "blob_gone", "truncated", "empty_url")
            )
            episode.exports.fault(kind, count=draw.choice((1, 1, 2)), skip=draw.randrange(6))
        return True

    def _trade(self, episode: Episode) -> None:
        """Vendors change, and rows change while an export builds or keys are read."""
        exports, draw = episode.exports, self._draw
        exports.mutate(draw.randrange(1, 6))
        exports.add(draw.randrange(3))
        exports.delete(draw.randrange(2))
        if draw.random() < 0.3:
            call = draw.choice(("mutate", "delete", "add"))
            argument = {"which" if call == "delete" else "n": 1}
            exports.fault("script", skip=draw.randrange(9), call=call, arguments=argument)

    def _change(self, episode: Episode) -> None:
        simulator, draw = episode.simulator, self._draw
        for entity in ("timesheets", *draw.sample(OTHERS, 2)):
            simulator.mutate(draw.randrange(1, 15), entity=entity)
            simulator.add(draw.randrange(3), entity=entity)
            simulator.delete(draw.randrange(1, 3), entity=entity)
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
        elif rare < 0.20:
            kind = draw.choice(("project", "customer", "employee"))
            simulator.rename(kind, self._someone(episode, f"{kind}s"), f"Nytt namn {draw.randrange(1000)}")

    def _someone(self, episode: Episode, entity: str = "timesheets") -> int:
        return self._draw.choice(sorted(episode.simulator.rows(entity=entity)))

    def _rework(self, episode: Episode, table: str) -> None:
        """Rows behind the links of a table change; rarely one of them cannot be read."""
        links, draw = episode.links, self._draw
        several = TABLES[table].get("links")
        for link in [f"{table}.{each}" for each in draw.sample(sorted(several), 2)] if several else [table]:
            links.change(link, draw.randrange(4))
            if draw.random() < 0.5:
                links.add(link, 1)
            rows = links.rows(link)
            if len(rows) > 10:
                links.delete(link, 1)
            if draw.random() < 0.1 and isinstance(rows[0].get("Date To", DUMMY_DAY), date) and "Date To" in rows[0]:
                links.set_cell(link, 0, "Date To", UNREADABLE_HOURS)

    def _order(self, episode: Episode, aim: Aim, troubled: bool) -> dict[str, Any]:
        draw, folder = self._draw, str(episode.folder)
        loaded = aim.dataset in episode.loaded
        if aim.stage is Stage.CLOSE and loaded and draw.random() < 0.25:
            return {"command": ["replay", aim.dataset, "--verbose", "--project", folder]}
        select = draw.choices((aim.dataset, aim.dataset.partition(".")[0], None), (5, 3, 1))[0]
        walking = aim.stage is None or aim.stage in WALKING
        full = loaded and walking and draw.random() < (0.3 if aim.linked else 0.75)
        limit = draw.randrange(1, 4) if draw.random() < 0.1 else None
        if troubled:
            return {"rehearse": {"folder": folder, "select": select, "full_refresh": full, "limit": limit}}
        words = ["run", *([select] if select else []), "--verbose", "--project", folder]
        words += ["--full-refresh"] * full + (["--limit", str(limit)] if limit else [])
        words += ["--since", "2026-06-01"] if select == LONG and draw.random() < 0.3 else []
        # A third of a run goes into delivering, which other stages can be hit without.
        words += ["--no-deliver"] * (aim.stage not in DELIVERING and draw.random() < 0.7)
        return {"command": [*words, "--parallel", str(draw.choice((1, 3)))]}

    def _kill(self, life: Life, aim: Aim) -> None:
        """Wait for the stage's nth line, then a part of the time that the stage usually takes, then kill."""
        if aim.stage is None:
            time.sleep(self._draw.random() * self._life)
        elif self._reached(life, aim):
            part = 0.4 if aim.stage is Stage.DISPATCH else 1.2  # what follows its claim has no line for a while
            time.sleep(self._draw.random() * part * self._lasts[aim.stage])
        if not life.dead:
            life.kill()

    def _reached(self, life: Life, aim: Aim) -> bool:
        many = aim.stage in PAGED and aim.dataset == LONG  # the others have a page or two
        left = self._draw.choice((1, 1, 2, 4, 7) if many else (1, 1, 1, 2))
        for named in life.watch():
            left -= aim.hits(named)
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
            self.tally.kills[life.last_stage.stage] += 1
            self.tally.linked += life.last_stage.linked
        elif killed:
            self.tally.idle += 1
        else:
            self.tally.missed += 1
        self._learn(life, killed)
        self.tally.requests += episode.account(killed=killed)

    def _learn(self, life: Life, killed: bool) -> None:
        """How long a stage takes here and now."""
        for named, after in zip(life.stages, life.stages[1:], strict=False):
            self._lasts[named.stage] += SMOOTHING * (min(after.at - named.at, 1.0) - self._lasts[named.stage])
        if life.stages and not killed:
            self._life += SMOOTHING * (life.stages[-1].at - life.stages[0].at + 0.2 - self._life)

    def _settle(self, episode: Episode) -> None:
        """Nobody disturbs any more: run to completion, then the law."""
        for source in episode.sources:
            source.clear_faults()
        behind = episode.behind
        self._complete(episode)
        if behind:  # what was open told of nothing that came later
            self._peaceful(episode, "finops")
            self._complete(episode)
        if episode.unseen:
            self._peaceful(episode, "--full-refresh")
            self._complete(episode)
            episode.unseen = False
        oracle.assert_law(episode.folder, episode.datasets, dead=episode.dead, server=self._server)
        delivered = [each for each in episode.datasets if each.name in DELIVERED]
        oracle.assert_received(episode.folder, delivered, RECEIVER)
        self.tally.repeated += episode.calls.check()
        episode.calls = Calls(era=episode.calls.era)
        self.tally.laws += 1

    def _look(self, episode: Episode) -> None:
        """What the commands say after all that."""
        status = self._nursery.bear({"command": ["status", "--json", "--project", str(episode.folder)]})
        assert status.bury() == 0, status.told()
        told = json.loads("\n".join(status.said))
        assert {each["state"] for each in told["datasets"]} == {"in step"}, status.told()
        assert {(each["state"], each["lag"]) for each in told["deliveries"]} == {("active", 0)}, status.told()
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
        self.tally.requests += episode.account(killed=False)
