"""A believable company of any size, computed and not stored: every value follows from (seed, row number, column).

A row's random draws are bytes of one pool made from the seed, read at a place that depends on its block of 10,000
rows and on the column. So a column of a block is a slice, and a single row costs no more than itself.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, ClassVar

from postroad.connectors.xledger.simulator import names

BLOCK = 10_000
POOL = 1 << 16
ID_STEP = 3  # ids ascend with gaps of up to 4
FIRST_DAY = date(2020, 1, 1)
WORKED_DAYS = 1_826  # rows lie on these days; approval and changes follow up to a year later

Value = str | int | float | bool | None
Column = list[Value]
Reference = Mapping[str, Any]


class References(tuple[Reference, ...]):  # noqa: SLOT001  (a tuple cannot have slots of its own)
    """All that one kind of reference can point to; never changed, so what was rendered of it is kept with it."""

    def __init__(self, _entries: Iterable[Reference]) -> None:
        self.rendered: dict[object, list[str]] = {}


Catalog = Mapping[str, References]

SCALARS = (
    "dbId", "createdAt", "modifiedAt", "assignmentDate", "workingHours", "isHeaderApproved", "headerApprovedAt",
    "hourlyRevenueCurrency", "text", "comment", "approved", "approvedAt", "hourlyCost", "income", "invoiced",
    "invoiceHours", "payroll", "posted", "timeFrom", "timeTo",
)  # fmt: skip
REFERENCES = {
    "owner": "owner", "employee": "employee", "activity": "activity", "timeType": "timeType", "project": "project",
    "timesheetStatus": "status", "approvedBy": "employee", "assignment": "assignment", "object": "object",
    "objectValue": "object", "salesOrderDetail": "order", "subledger": "employee",
}  # fmt: skip
"""The reference fields of a timesheet and the part of the catalogue that each points into (0: no reference)."""

DERIVED = {"ownerDbId": "owner", "employeeDbId": "employee", "projectDbId": "project"}
"""Fields that repeat the dbId of a reference."""

HIDDEN = ("closed",)
STORED = (*SCALARS, *REFERENCES, *HIDDEN)
PLACE = {name: place for place, name in enumerate(STORED)}

_VOCABULARY: dict[str, Sequence[Value]] = {
    "workingHours": names.HOURS,
    "hourlyRevenueCurrency": names.RATES,
    "hourlyCost": names.COSTS,
    "text": names.TEXTS,
    "comment": (None,) * 12 + names.TEXTS,
    "payroll": (True, True, True, False),
}
# Of 256 rows, how many have no reference. A timesheet always has an owner, an employee, a time type and a status.
_EMPTY = {"project": 12, "activity": 3, "assignment": 200, "object": 128, "objectValue": 128, "salesOrderDetail": 230}


class Company:
    """The data of one tenant before anybody changed it."""

    def __init__(self, seed: int, timesheets: int) -> None:
        self.seed = seed
        self.size = timesheets
        self.first_id = 3_000_000_000 + (seed % 1_000) * 100_000_000  # beyond 32 bits, as the type says
        draw = random.Random(f"postroad {seed}")
        self._pool = draw.randbytes(POOL + 2 * BLOCK)
        self.catalog: Catalog = _catalog(draw, seed, timesheets)
        owners = len(names.COMPANIES)
        self._owner_of = [1 + (0 if key % 20 == 19 else 1 + key % 5 % (owners - 1)) for key in range(4_096)]

    def values(self, name: str, start: int, stop: int) -> Column:
        """One stored column for the rows `start` to `stop`, which lie in one block."""
        if name in _VOCABULARY:
            return self._words(name, _VOCABULARY[name], start, stop)
        if name in self._computed:
            return self._computed[name](self, start, stop)
        return self._keys(name, start, stop)

    def row(self, number: int) -> tuple[Value, ...]:
        """All stored values of one row, in the order of `STORED`."""
        return tuple(self.values(name, number, number + 1)[0] for name in STORED)

    def number_at(self, db_id: int) -> int:
        """The number of the first row whose dbId is not below `db_id`."""
        number = max((db_id - self.first_id) // ID_STEP, 0)
        return number if self.db_id(number) >= db_id else number + 1

    def db_id(self, number: int) -> int:
        """The dbId of a row."""
        return int(self._ids(number, number + 1)[0] or 0)

    def draw(self, salt: str, start: int, stop: int) -> bytes:
        """One random byte for each row."""
        block, first = divmod(start, BLOCK)
        offset = _offset(self.seed, block, salt) + first
        return self._pool[offset : offset + stop - start]

    def wide(self, salt: str, start: int, stop: int) -> list[int]:
        """One random number of 16 bits for each row."""
        block, first = divmod(start, BLOCK)
        offset = _offset(self.seed, block, salt) + 2 * first
        return memoryview(self._pool)[offset : offset + 2 * (stop - start)].cast("H").tolist()

    def _words(self, salt: str, words: Sequence[Value], start: int, stop: int) -> Column:
        spread = _spread(tuple(words))
        return [spread[byte] for byte in self.draw(salt, start, stop)]

    def _keys(self, name: str, start: int, stop: int) -> Column:
        size = len(self.catalog[REFERENCES[name]]) - 1
        empty = _EMPTY.get(name, 0)
        pairs = zip(self.draw(name + "?", start, stop), self.wide(name, start, stop), strict=True)
        return [0 if byte < empty else 1 + number % size for byte, number in pairs]

    def _ids(self, start: int, stop: int) -> Column:
        first = self.first_id + start * ID_STEP
        return [first + ID_STEP * place + byte % ID_STEP for place, byte in enumerate(self.draw("id", start, stop))]

    def _owner(self, start: int, stop: int) -> Column:
        owners = self._owner_of
        return [owners[int(key or 0) % 4_096] for key in self._keys("employee", start, stop)]

    def _status(self, start: int, stop: int) -> Column:
        return [
            1 if byte < 20 else 2 if byte < 45 else 3 if byte < 130 else 4 for byte in self.draw("status", start, stop)
        ]

    def _approved(self, start: int, stop: int) -> Column:
        return [byte >= 45 for byte in self.draw("status", start, stop)]

    def _posted(self, start: int, stop: int) -> Column:
        return [byte >= 130 for byte in self.draw("status", start, stop)]

    def _invoiced(self, start: int, stop: int) -> Column:
        return [byte >= 190 for byte in self.draw("status", start, stop)]

    def _closed(self, start: int, stop: int) -> Column:
        return [byte >= 243 for byte in self.draw("status", start, stop)]

    def _days(self, start: int, stop: int) -> list[int]:
        size = self.size
        days = [number * WORKED_DAYS // size for number in range(start, min(stop, size))]
        return days + [WORKED_DAYS - 1] * (stop - start - len(days))  # rows that were added

    def _assigned(self, start: int, stop: int) -> Column:
        days = _calendar()
        return [days[day] for day in self._days(start, stop)]

    def _created_days(self, start: int, stop: int) -> list[int]:
        return [
            day + byte % 7 for day, byte in zip(self._days(start, stop), self.draw("created", start, stop), strict=True)
        ]

    def _created(self, start: int, stop: int) -> Column:
        return _moments(self._created_days(start, stop), self.wide("created at", start, stop))

    def _modified_days(self, start: int, stop: int) -> list[int]:
        """A day after that of creation; for one row in 97 the next autumn clock change."""
        autumn = _next_autumn()
        pairs = zip(self._created_days(start, stop), self.draw("modified", start, stop), strict=True)
        later = [day + 1 + byte % 20 for day, byte in pairs]
        for number in range(start + (13 - start) % 97, stop, 97):
            later[number - start] = autumn[later[number - start]]
        return later

    def _modified(self, start: int, stop: int) -> Column:
        return _moments(self._modified_days(start, stop), self.wide("modified at", start, stop))

    def _approved_at(self, start: int, stop: int) -> Column:
        moments = _moments(self._modified_days(start, stop), self.wide("approved at", start, stop))
        pairs = zip(moments, self._approved(start, stop), strict=True)
        return [moment if approved else None for moment, approved in pairs]

    def _income(self, start: int, stop: int) -> Column:
        rates, hours = self.values("hourlyRevenueCurrency", start, stop), self.values("workingHours", start, stop)
        return list(map(_product, rates, hours))

    def _approver(self, start: int, stop: int) -> Column:
        pairs = zip(self._keys("approvedBy", start, stop), self._approved(start, stop), strict=True)
        return [key if approved else 0 for key, approved in pairs]

    def _invoice_hours(self, start: int, stop: int) -> Column:
        return self.values("workingHours", start, stop)

    def _time_from(self, start: int, stop: int) -> Column:
        return self._clocked("08:00", start, stop)

    def _time_to(self, start: int, stop: int) -> Column:
        return self._clocked("16:30", start, stop)

    def _clocked(self, hour: str, start: int, stop: int) -> Column:
        """Start or end of work, known for one row in four."""
        pairs = zip(self._assigned(start, stop), self.draw("clocked", start, stop), strict=True)
        return [f"{day}T{hour}:00" if byte < 64 else None for day, byte in pairs]

    _computed: ClassVar[dict[str, Callable[[Company, int, int], Column]]] = {
        "dbId": _ids,
        "createdAt": _created,
        "modifiedAt": _modified,
        "assignmentDate": _assigned,
        "isHeaderApproved": _approved,
        "headerApprovedAt": _approved_at,
        "approved": _approved,
        "approvedAt": _approved_at,
        "income": _income,
        "invoiced": _invoiced,
        "invoiceHours": _invoice_hours,
        "posted": _posted,
        "timeFrom": _time_from,
        "timeTo": _time_to,
        "owner": _owner,
        "timesheetStatus": _status,
        "approvedBy": _approver,
        "closed": _closed,
    }


@lru_cache(maxsize=4_096)
def _offset(seed: int, block: int, salt: str) -> int:
    return zlib.crc32(f"{seed}/{block}/{salt}".encode()) % POOL


@cache
def _spread(words: tuple[Value, ...]) -> list[Value]:
    return [words[byte % len(words)] for byte in range(256)]


@cache
def _product(rate: str | None, hours: str) -> str | None:
    return None if rate is None else str((Decimal(rate) * Decimal(hours)).quantize(Decimal("0.01")))


@cache
def _calendar() -> list[str]:
    return [(FIRST_DAY + timedelta(day)).isoformat() for day in range(WORKED_DAYS + 400)]


def _is_autumn_change(day: date) -> bool:
    """The last Sunday of October, when the hour from 02:00 comes twice."""
    return day.month == 10 and day.weekday() == 6 and day.day > 24


@cache
def _next_autumn() -> list[int]:
    """For each day the next one on which summer time ends."""
    days = [day for day in range(WORKED_DAYS + 400) if _is_autumn_change(FIRST_DAY + timedelta(day))]
    return [next((autumn for autumn in days if autumn >= day), day) for day in range(WORKED_DAYS + 400)]


@cache
def _times() -> tuple[list[str], list[str]]:
    """Times of day: of an ordinary day, never between 02 and 03, which spring skips; and of the autumn change."""
    draw = random.Random(0)
    usual = [
        f"T{draw.choice((7, 8, 9, 11, 15, 16, 17, 22)):02}:{draw.randrange(60):02}:{draw.randrange(60):02}"
        for _ in range(4_096)
    ]
    twice = [f"T02:{draw.randrange(60):02}:{draw.randrange(60):02}" for _ in range(4_096)]
    return usual, twice


@cache
def _times_of_days() -> list[list[str]]:
    usual, twice = _times()
    return [twice if _is_autumn_change(FIRST_DAY + timedelta(day)) else usual for day in range(WORKED_DAYS + 400)]


def _moments(days: list[int], draws: list[int]) -> Column:
    calendar, times = _calendar(), _times_of_days()
    return [calendar[day] + times[day][number & 4_095] for day, number in zip(days, draws, strict=True)]


def _catalog(draw: random.Random, seed: int, timesheets: int) -> Catalog:
    """All that timesheets refer to; place 0 is no reference."""
    base = 20_000_000 + seed % 10_000 * 100_000
    owners = [
        {"dbId": base + place, "code": f"{10 + place}", "description": name, "ownerCode": 10 + place}
        for place, name in enumerate(names.COMPANIES)
    ]
    employees = min(max(timesheets // 400, 12), 3_000)
    people = [f"{draw.choice(names.FIRST_NAMES)} {draw.choice(names.LAST_NAMES)}" for _ in range(employees)]
    projects = [f"{draw.choice(names.PROJECTS)} {number}" for number in range(min(max(timesheets // 300, 8), 4_000))]
    statuses = [
        {"dbId": 700 + place, "dbSubId": place, "name": name, "ownerDbId": None, "definitionId": 57}
        for place, name in enumerate(names.STATUSES, 1)
    ]
    return {
        "owner": References((_ZERO_OWNER, *owners)),
        "employee": _objects(base + 10_000, people, owners, "{:04}"),
        "project": _objects(base + 20_000, projects, owners, "P{:05}"),
        "activity": _objects(base + 30_000, names.ACTIVITIES, owners, "{:03}"),
        "timeType": _objects(base + 31_000, names.TIME_TYPES, owners, "{:02}"),
        "assignment": _objects(base + 32_000, [f"Uppdrag {n}" for n in range(40)], owners, "U{}"),
        "object": _objects(base + 33_000, [f"Objekt {n}" for n in range(25)], owners, "{}"),
        "order": _objects(base + 34_000, [f"Orderrad {n}" for n in range(30)], owners, "O{}"),
        "status": References((_ZERO_STATUS, *statuses)),
    }


_ZERO_OWNER: Reference = {"dbId": 0, "code": None, "description": None, "ownerCode": None}
_ZERO_STATUS: Reference = {"dbId": 0, "dbSubId": None, "name": None, "ownerDbId": None, "definitionId": None}
_ZERO: Reference = {"dbId": 0, "code": None, "description": None, "owner": None}


def _objects(base: int, titles: Sequence[str], owners: Sequence[Reference], code: str) -> References:
    made = [
        {"dbId": base + place, "code": code.format(place), "description": title, "owner": owners[place % len(owners)]}
        for place, title in enumerate(titles, 1)
    ]
    return References((_ZERO, *made))
