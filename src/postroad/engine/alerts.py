"""What a person is told by e-mail, and in which words: ends of runs, how a connection stands, and how a delivery does.

Nothing is stored here: the books note an alert in the transaction of what it tells of (`tracking.alerts`). No text
holds a record's content or key: causes and numbers only, and the command that shows the rest.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from postroad.catalog.deliveries import SubscriptionStatus
from postroad.engine.bench import Bench
from postroad.records import ALL, Feed
from postroad.tracking.alerts import Alert
from postroad.tracking.runs import Failure, moment

LONGEST = 400  # characters of a reason
STALE_AFTER = 86_400.0  # seconds out of step, unless the flow says otherwise
LOST_NOTHING = "nothing: what was read stays, and the next run goes on from there"


def run_ended(
    connection: str, feed: Feed, status: str, reason: str | None, failed: Mapping[str, object], before: Failure | None
) -> Alert | None:
    """What a run's final status says of its feed; None where it says nothing, as when a person stopped it.

    `failed` are the entities that failed alone, `before` is the failure that it follows, if any.
    """
    name = f"{connection}.{feed.name}"
    topic = f"run:{name}"
    since = None if before is None else int(before.since.timestamp() * 1e6)
    if status == "failed":
        text = _lines(why=reason, lost=LOST_NOTHING, look=f"postroad status {connection}")
        return Alert(topic, "failed", f"{name} failed", text, since)
    if status not in ("succeeded", "partly_succeeded"):
        return None
    if not failed:
        return Alert(topic, "", f"{name} succeeds again", _lines(lost="nothing", look=f"postroad status {connection}"))
    names = ", ".join(sorted(failed))
    why = [f"{entity}: {plain(str(cause))}" for entity, cause in sorted(failed.items())]
    text = _lines(why=why, lost=f"{LOST_NOTHING}; the others succeeded", look=f"postroad status {connection}")
    return Alert(topic, f"partly: {names}", f"{name} partly succeeded, failed: {names}", text)


def died(connection: str, feed: Feed) -> Alert:
    """Two processes in a row died over a feed: one may be a restart of the machine, two are told of."""
    name = f"{connection}.{feed.name}"
    why = "memory that ran out, a kill, or a power cut; the process itself could not say"
    text = _lines(why=why, lost=LOST_NOTHING, look=["postroad runs", f"postroad status {connection}"])
    return Alert(f"run:{name}", "lost", f"{name}: its process died, twice in a row", text)


def replaced(connection: str, entities: Sequence[str], reason: str) -> Alert:
    """The remote system holds another tenant's data, so these entities are read anew; told each time."""
    why = f"{reason}; a full refresh begins, and a close that would delete too much is parked"
    text = _lines(what=", ".join(entities), why=why, lost="nothing", look=f"postroad status {connection}")
    subject = f"{connection}: another tenant or endpoint than before"
    return Alert(f"tenant:{connection}", secrets.token_hex(4), subject, text, reminds=False)


def columns_added(connection: str, entity: str, columns: Sequence[str]) -> Alert:
    """A table is widened; told once for the same columns, as a killed run adds them again."""
    names = ", ".join(columns)
    text = _lines(what=names, lost="nothing: their values come with a full refresh", look="postroad status")
    subject = f"{connection}.{entity}: {_counted(len(columns), 'column')} added"
    return Alert(f"added:{connection}.{entity}", names, subject, text, reminds=False)


def standing(bench: Bench, entities: Sequence[str]) -> list[Alert]:
    """How a connection's entities stand: parked, rejected, without columns that they had, out of step."""
    return [
        _parked(bench, entities),
        _rejected(bench, entities),
        _vanished(bench, entities),
        _stale(bench, entities),
    ]


def _parked(bench: Bench, entities: Sequence[str]) -> Alert:
    connection = bench.connection
    found = [walk for entity in entities for walk in bench.tracking.walks.parked(connection, entity)]
    what = {_of_scope(connection, walk["entity"], walk["scope"]): f"{walk['reason']}" for walk in found}
    if not what:
        return Alert(f"parked:{connection}", "", f"{connection}: no close waits for a person any more")
    names = sorted({f"{connection}.{walk['entity']}" for walk in found})
    commands = [f"postroad rejected retry {name} --stage guard   lets it pass" for name in names]
    commands += [f"postroad rejected discard {name} --stage guard   drops it" for name in names]
    text = _lines(
        what=[f"{name}: {reason}" for name, reason in what.items()],
        lost="nothing: the tables stay as they are until a person decides, and changes go on",
        look=commands,
    )
    since = min(int(walk["ended_at"]) for walk in found)
    return Alert(f"parked:{connection}", "; ".join(sorted(what)), f"{_all(what)}: a close is parked", text, since)


def _rejected(bench: Bench, entities: Sequence[str]) -> Alert:
    connection, topic = bench.connection, f"rejected:{bench.connection}"
    counts = {
        (entity, cause): count
        for (of, entity, cause), count in sorted(bench.tracking.rejections.counts().items())
        if of == connection and entity in entities
    }
    if not counts:
        return Alert(topic, "", f"{connection}: no row is rejected any more", reminds=False)
    total, names = sum(counts.values()), list(dict.fromkeys(f"{connection}.{entity}" for entity, _ in counts))
    text = _lines(
        what=[f"{connection}.{entity}: {count:,} {cause}" for (entity, cause), count in counts.items()],
        lost=f"what {_counted(total, 'row')} say now: the tables keep the rows of before, where there are any, and the "
        "rejected text is kept beside",
        look=["postroad rejected list", "postroad rejected show NUMBER"],
    )
    state = "; ".join(f"{entity} {cause}" for entity, cause in counts)
    return Alert(topic, state, f"{_all(names)}: {_counted(total, 'row')} rejected", text, reminds=False)


def _vanished(bench: Bench, entities: Sequence[str]) -> Alert:
    connection, topic = bench.connection, f"columns:{bench.connection}"
    entries = {entity: bench.tracking.feeds.entity(connection, entity)["absent"] for entity in sorted(entities)}
    what = {f"{connection}.{entity}": ", ".join(absent) for entity, absent in entries.items() if absent}
    if not what:
        return Alert(topic, "", f"{connection}: every column is sent again", reminds=False)
    text = _lines(
        what=[f"{name}: {columns}" for name, columns in what.items()],
        lost="nothing: rows keep the values that they have; new rows have none",
        look=f"postroad status {connection}",
    )
    state = "; ".join(f"{name} {columns}" for name, columns in what.items())
    return Alert(topic, state, f"{_all(what)}: columns are not sent any more", text, reminds=False)


def _stale(bench: Bench, entities: Sequence[str]) -> Alert:
    """Entities out of step for too long of which no other alert tells: nobody runs them, or they never end."""
    connection, topic = bench.connection, f"stale:{bench.connection}"
    now = bench.now()
    found = {}
    for entity in entities:
        since = min(_lacks(bench, entity), default=None)
        if since is not None and now - since[0] > _patience(bench, entity) and not _told_already(bench, entity):
            found[f"{connection}.{entity}"] = since
    if not found:
        return Alert(topic, "", f"{connection}: no entity is out of step for too long any more")
    text = _lines(
        what=[f"{name}: {what} since {_time(since)}" for name, (since, what) in found.items()],
        lost="nothing, but the tables show what was true then",
        look=[f"postroad status {connection}", f"postroad run {connection}"],
    )
    begun = int(min(since for since, _ in found.values()) * 1e6)
    return Alert(topic, "; ".join(sorted(found)), f"{_all(found)}: not in step for too long", text, begun)


def of_subscription(status: SubscriptionStatus) -> Iterator[Alert]:
    """How a delivery stands: whether its receiver gets what is new, and takes it."""
    if (stands := _stands(status)) is not None:
        yield stands
    name, total = status.subscription, sum(status.rejected.values())
    text = _lines(
        what=[f"{count:,} {cause}" for cause, count in status.rejected.items()],
        lost=f"what {_counted(total, 'record')} say now: the receiver keeps the versions of before, where it has any",
        look=["postroad rejected list --stage deliver", f"postroad rejected retry {name} --stage deliver"],
    )
    subject = f"{name}: {_counted(total, 'record')} rejected" if total else f"{name}: no record is rejected any more"
    yield Alert(f"refused:{name}", "; ".join(sorted(status.rejected)), subject, text if total else "", reminds=False)


def _stands(status: SubscriptionStatus) -> Alert | None:
    """None of one that a person paused: he knows."""
    name, look = status.subscription, [f"postroad status {status.dataset}"]
    if status.state == "paused":
        if status.reason != status.last_outcome:
            return None
        state, subject = "refused", f"{name}: the receiver refuses us"
        look.append(f"postroad resume {name}   once that is mended")
    elif status.held:
        state, subject = "held", f"{name}: {_counted(status.held, 'message')} held, which wait for a person"
        look += [f"postroad rejected {verb} {name} --stage deliver" for verb in ("retry", "discard")]
    elif status.lag_seconds > STALE_AFTER:
        state, subject = "behind", f"{name}: {_counted(status.lag, 'record')} not delivered for too long"
        look.append("postroad run   delivers, and so does postroad worker")
    else:
        return Alert(f"receiver:{name}", "", f"{name} gets what is new again")
    text = _lines(why=status.last_outcome, lost="nothing: what is new waits, and is sent once it can be", look=look)
    return Alert(f"receiver:{name}", state, subject, text)


def _told_already(bench: Bench, entity: str) -> bool:
    """Whether another alert says why an entity is out of step: it is parked, or what it waits for fails."""
    tracking, connection = bench.tracking, bench.connection
    feeds = _feeds(bench, entity)
    changes = [feed.name for feed in feeds if feed.kind == "changes"]
    # Beside a feed of changes, the failure of a walk that nobody goes on with says nothing of today.
    walks = [
        feed.name
        for feed in feeds
        if feed.kind == "walk" and not (changes and tracking.walks.open(connection, entity, feed.scope.name) is None)
    ]
    if tracking.walks.parked(connection, entity) or tracking.runs.failures(connection, [*changes, *walks]):
        return True
    return any(entity in tracking.runs.errors(connection, feed) for feed in changes)


def _lacks(bench: Bench, entity: str) -> Iterator[tuple[float, str]]:
    """What an entity may lack, and since when (seconds). What happened since its last look nobody knows."""
    tracking, connection = bench.tracking, bench.connection
    feeds = _feeds(bench, entity)
    yield from _looked(bench, feeds, entity)
    for feed in feeds:
        walk = None if feed.scope.moves else tracking.walks.open(connection, entity, feed.scope.name)
        if walk is not None:
            yield walk["begun_at"] / 1e6, "a walk is open"
        active = tracking.runs.active(connection, feed.name)
        if active is not None and active["status"] == "waiting":
            yield (active["wait_begun_at"] or active["started_at"]) / 1e6, f"its run waits ({plain(active['reason'])})"


def _feeds(bench: Bench, entity: str) -> list[Feed]:
    return [feed for feed in bench.feeds if any(each.name == entity for each in feed.entities)]


def _looked(bench: Bench, feeds: Sequence[Feed], entity: str) -> Iterator[tuple[float, str]]:
    """When the changes were last read to their head or, without changes, each of the feeds was looked at."""
    if any(feed.kind == "changes" for feed in feeds):
        head_at = bench.tracking.feeds.entity(bench.connection, entity)["head_at"]
        if head_at:
            yield head_at / 1e6, "its changes were not read"
        return
    names = [feed.name for feed in feeds if not feed.scope.moves]
    for looked in bench.tracking.runs.looked(bench.connection, names).values():
        yield looked.timestamp(), "it was not looked at"


def _patience(bench: Bench, entity: str) -> float:
    said = bench.rule(entity).stale_after
    pauses = [2 * (feed.every or 0.0) for feed in bench.walk_feeds(entity)]
    return max([STALE_AFTER, *pauses]) if said is None else said


def _of_scope(connection: str, entity: str, scope: str) -> str:
    return f"{connection}.{entity}" if scope == ALL.name else f"{connection}.{entity} ({scope})"


def _all(names: Sequence[str] | Mapping[str, object]) -> str:
    """A subject's list: two names, and how many more there are."""
    first, more = list(names)[:2], len(names) - 2
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _lines(**facts: str | Sequence[str] | None) -> str:
    """`what: …`, one line each; a list goes on below its first line."""
    lines = []
    for name, fact in facts.items():
        for number, line in enumerate([fact] if isinstance(fact, str) else fact or ()):
            lines.append(f"{f'{name}:' if number == 0 else '':<7}{plain(line)}")
    return "\n".join(lines)


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of plain text: whatever a name or a reason holds, it breaks no line and no header."""
    line = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in str(text))
    return line if len(line) <= longest else f"{line[:longest]}…"


def _time(seconds: float) -> str:
    return f"{moment(int(seconds * 1e6)):%Y-%m-%d %H:%M:%S} UTC"
