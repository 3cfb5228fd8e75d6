"""A project with a broker, whose workers share the messages: books on PostgreSQL, records into a MongoDB.

Its workers are killed and frozen, the queue is emptied under them, and each of the three servers is killed and started
again while they work; then the collection shows what the table shows, and every message has its answer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from postroad.app import App
from postroad.connectors.xledger.simulator import XledgerSimulator
from tests.chaos.nursery import Life, Nursery, catches
from tests.chaos.servers import Servers, all_three, collection, virtual_host
from tests.conftest import Mongo
from tests.flow.post import memory_folder
from tests.rabbitmq import Broker

LEASE = 2.0  # seconds that a worker of ours holds a message, unless it renews that
PATIENCE = 60.0  # seconds in which workers must be done with what waits
PROJECT = """\
project: chaos
lake: ./lake
database: {books}
queue: secret://QUEUE_URL
connections:
  xledger: {{connector: xledger, url: "{company}", token: secret://XLEDGER_TOKEN, burst: 1000000}}
  appdb: {{connector: mongodb, url: secret://MONGODB_URL, database: {database}}}
"""
FLOW = """\
sync:
  - {from: xledger, entities: [timesheets]}
deliver:
  - {dataset: xledger.timesheets, to: appdb.hours}
"""
NAMED = "DatabaseError: the project's database did not answer"
HELD = "select id, holder from messages where status = 'queued' and token is not null"
OPEN = "select count(*) from messages where status = 'queued'"
SETTLED = "select count(*) from messages where status = 'acknowledged'"
TOLD = "select id, status, settled_at from messages where id = any(%s) order by id"
MOVED = "select count(*) from moves where message = any(%s)"
ANSWERED_TWICE = "select message from moves where after = 'acknowledged' group by message having count(*) > 1"


class Office:
    """The project, and two workers at a time."""

    def __init__(
        self,
        folder: Path,
        company: XledgerSimulator,
        servers: Servers,
        broker: Broker,
        mongo: Mongo,
        nursery: Nursery,
        draw: random.Random,
    ) -> None:
        self.folder, self.company, self.servers, self.draw = folder, company, servers, draw
        self.broker, self.mongo, self._nurseries = broker, mongo, (nursery, nursery.twin())
        self.struck: Counter[str] = Counter()
        self.acts: dict[str, Callable[[Life, Life], None]] = {
            "kill": self._kill_one,
            "kill both": self._kill_both,
            "freeze": self._freeze,
            "freeze beyond the lease": self._outlive,
            "purge": self._purge,
            "books": lambda *lives: self._restart(lives, "books"),
            "books under a run": self._restart_under_a_run,
            "broker": lambda *lives: self._restart(lives, "broker"),
            "receiver": lambda *lives: self._restart(lives, "receiver"),
        }
        (folder / "flows").mkdir()
        (folder / "flows" / "hours.yaml").write_text(FLOW)
        project = PROJECT.format(books=servers.books.url, company=company.url, database=mongo.name)
        (folder / "postroad.yaml").write_text(project)
        secrets = {"XLEDGER_TOKEN": company.token, "QUEUE_URL": broker.url, "MONGODB_URL": mongo.url}
        (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in secrets.items()))
        self._books = psycopg.connect(servers.books.url, autocommit=True)
        first = nursery.bear({"command": ["run", "--verbose", "--project", str(folder)]})
        assert first.bury() == 0, first.told()  # and the nurseries know what a life needs

    def close(self) -> None:
        """Leave the books and the workers alone."""
        self._books.close()
        self._nurseries[1].close()

    def ask(self, query: str, *values: Any) -> list[Any]:
        """From the books, which may have been restarted."""
        try:
            return self._books.execute(query, values).fetchall()
        except psycopg.OperationalError:
            self._books.close()
            self._books = psycopg.connect(self.servers.books.url, autocommit=True)
            return self._books.execute(query, values).fetchall()

    def count(self, query: str) -> int:
        """One number from the books."""
        return int(self.ask(query)[0][0])

    def held(self) -> dict[int, int]:
        """The messages that somebody holds, and who."""
        found = self.ask(HELD)
        return {number: (json.loads(each) if isinstance(each, str) else each)["pid"] for number, each in found}

    def change(self) -> None:
        """The company works on, and what it did waits to be published."""
        self.company.mutate(self.draw.randrange(40, 120))
        self.company.add(self.draw.randrange(4))
        self.company.delete(self.draw.randrange(3))
        with App.open(self.folder) as app:
            assert app.runs.start(deliver=False).exit_code == 0
            app.deliveries.dispatch()

    def round(self, act: str) -> None:
        """Two workers begin, and something happens to them while they work."""
        self.change()
        one, other = (self._worker(nursery) for nursery in self._nurseries)
        lives = {one.pid: one, other.pid: other}
        self._wait(lambda: not self.count(OPEN) or lives.keys() & {*self.held().values()}, 5.0)
        time.sleep(self.draw.random() * 0.03)
        self.acts[act](one, other)
        for life in (one, other):
            if not life.dead:
                self._kill(life, "kill")
            assert life.code is not None or life.bury() == -signal.SIGKILL, life.told()

    def finish(self) -> None:
        """A last worker does what is left, and ends in order."""
        last = self._worker(self._nurseries[0])
        self._wait(lambda: not self.count(OPEN), PATIENCE)
        self._end(last)
        if self._refused() == {"poison"}:  # five workers died over a record, by our hand: a person sends it again
            with App.open(self.folder) as app:
                app.deliveries.retry("appdb.hours")

    def assert_law(self) -> None:
        """Every message was answered once, nothing was refused, and plain pymongo reads what the table shows."""
        assert self.count(OPEN) == 0
        assert self._refused() == set()
        assert self.ask(ANSWERED_TWICE) == []
        with App.open(self.folder) as app:
            rows = app.datasets.query("select dbId, workingHours, _version from xledger.timesheets").to_pylist()
        wanted = {row["dbId"]: (row["workingHours"], row["_version"]) for row in rows}
        held = {
            each["_id"]: (each["workingHours"].to_decimal(), each["_version"])
            for each in self.mongo.database.hours.find()
        }
        assert held == wanted

    # ---- what happens ----

    def _kill_one(self, one: Life, _: Life) -> None:
        self._kill(one, "kill")
        self._wait(lambda: not self.count(OPEN), 1.0)

    def _kill_both(self, one: Life, other: Life) -> None:
        self._kill(one, "kill both")
        self._kill(other, "kill both")

    def _freeze(self, one: Life, _: Life) -> None:
        one.stop()
        self.struck["freeze"] += one.pid in self.held().values()
        self._wait(lambda: not self.count(OPEN), 0.5)
        one.go_on()

    def _outlive(self, one: Life, other: Life) -> None:
        """Who is frozen beyond its lease writes nothing more about what it held, and goes on with other messages."""
        while (frozen := self._frozen_with_some(one, other)) is None:
            self.change()
        held = [message for message, pid in self.held().items() if pid == frozen.pid]
        self.change()  # newer versions of what it may be sending
        self._wait(lambda: not self.count(OPEN), PATIENCE)
        assert self.count(OPEN) == 0, "what a frozen worker held is never taken over"
        told, moved = self.ask(TOLD, held), self.ask(MOVED, held)
        frozen.go_on()
        self._end(one if frozen is other else other)
        self.change()
        self._wait(lambda: not self.count(OPEN), PATIENCE)
        self._end(frozen)
        assert "was taken over" in frozen.notes or "database did not answer" in frozen.notes, frozen.events
        assert (self.ask(TOLD, held), self.ask(MOVED, held)) == (told, moved)
        self.struck["freeze beyond the lease"] += 1

    def _frozen_with_some(self, one: Life, other: Life) -> Life | None:
        """One of them, stopped while it holds messages; None if both were quicker."""
        while self.count(OPEN):
            for life in (one, other):
                life.stop()
                if life.pid in self.held().values():
                    return life
                life.go_on()
        return None

    def _purge(self, *_: Life) -> None:
        for queue in self.broker.queues():
            self.broker.call("DELETE", f"queues/{self.broker.vhost}/{queue}/contents")
        self.struck["purge"] += 1

    def _restart(self, lives: tuple[Life, ...], which: str) -> None:
        """Workers outlive it: they go on by themselves, and end in order."""
        held = {*self.held().values()}
        if which == "books":
            self.servers.restart_books(self.draw)
        else:
            self.servers.restart(getattr(self.servers, which), self.draw)
        self.struck[which] += bool(held & {life.pid for life in lives})
        before = self.count(SETTLED)
        self._wait(lambda: not self.count(OPEN) or self.count(SETTLED) > before, PATIENCE)
        assert not self.count(OPEN) or self.count(SETTLED) > before, "no worker goes on after a restart"
        for life in lives:
            # Only one that was still starting, and needed the books for that, may have ended with that sentence.
            self._end(life, may_be_gone=which == "books")

    def _restart_under_a_run(self, one: Life, _: Life) -> None:
        """A run ends with a named error, or did not notice; the next one goes on."""
        self._kill(one, "kill")
        one.bury()
        self.company.mutate(40)
        run = ["run", "--verbose", "--project", str(self.folder)]
        life = self._nurseries[0].bear({"command": [*run, "--full-refresh"]})
        next(islice(life.watch(), self.draw.randrange(12), None), None)  # it has named so many stages, or ended
        self.servers.restart_books(self.draw)
        code = life.bury()
        assert code in {0, 1, 3}, life.told()
        assert code != 1 or NAMED in life.told(), life.told()
        assert not any("Traceback" in line for line in life.said), life.told()
        self.struck["books under a run"] += code == 1
        again = self._nurseries[0].bear({"command": [*run, "--no-deliver"]})
        assert again.bury() == 0, again.told()

    def _kill(self, life: Life, act: str) -> None:
        """SIGKILL; counted if it held a message."""
        life.stop()
        self.struck[act] += life.pid in self.held().values()
        life.kill()
        os.kill(life.pid, signal.SIGCONT)
        while not life.dead:
            next(life.watch(), None)

    def _end(self, life: Life, *, may_be_gone: bool = False) -> None:
        """SIGTERM, once it has a handler for that."""
        self._wait(lambda: life.gone or catches(life.pid, signal.SIGTERM), PATIENCE)
        os.kill(life.pid, signal.SIGTERM)
        code = life.bury()
        gone = may_be_gone and code == 1 and not life.stages and NAMED in life.told()
        assert gone or code == 0, f"{code}: {life.stages} {life.events} {life.told()}"
        assert not any("Traceback" in line for line in life.said), life.told()

    def _worker(self, nursery: Nursery) -> Life:
        words = ["worker", "--verbose", "--project", str(self.folder)]
        return nursery.bear({"command": words, "lease": LEASE})

    def _refused(self) -> set[str]:
        return {cause for (cause,) in self.ask("select cause from rejections where status = 'rejected'")}

    def _wait(self, until: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            time.sleep(0.005)


@contextmanager
def opened(nursery: Nursery, draw: random.Random) -> Iterator[Office]:
    """An office with servers of its own."""
    with ExitStack() as stack:
        servers = stack.enter_context(all_three())
        folder = stack.enter_context(memory_folder())
        company = stack.enter_context(XledgerSimulator(seed=5, timesheets=120, burst=None, concurrency=None))
        broker = stack.enter_context(virtual_host(servers.broker))
        mongo = stack.enter_context(collection(servers.receiver))
        made = Office(folder, company, servers, broker, mongo, nursery, draw)
        stack.callback(made.close)
        yield made
