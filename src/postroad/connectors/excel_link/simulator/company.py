"""The tables of a small group of companies, all of them following from a seed (columns: fact sheet 4.2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from postroad.connectors.excel_link.simulator.addresses import SUBSIDIARIES

Cell = Any
Row = dict[str, Cell]

# Owners, projects and time types have the names that a group of companies has in its ERP, so that tables can be joined.
OWNERS = ("Nordvik Group AB", "Nordvik Teknik AB", "Nordvik Umeå AB", "Nordvik Kiruna AB", "Nordvik Malmö AB")
DUMMY_DAY = date(1999, 12, 31)  # a link cannot be made for an empty table, so somebody put a row into it (4.1)
MONTHS = 24
YEARS = (2023, 2024)  # in which rates begin
GROUPS = ("Consultants", "Managers", "Administration", "Sales", "Interns", "Operations")
TYPES = ("Permanent", "Temporary", "Hourly", "Trainee", "Contractor")
CATEGORIES = ("Wages", "Social costs", "Travel", "Licences", "Rent", "Training", "Hardware", "Insurance")
ELEMENTS = ("Direct cost", "Overhead", "Social charges", "Pension")
TIME_TYPES = ("Normaltid", "Övertid 1", "Övertid 2", "Restid", "Frånvaro", "Beredskap")
SCHEDULES = (("0050", "Half time"), ("0060", "Three days"), ("0080", "Four days"), ("0090", "Ninety percent"))
FIRST = ("Åse", "Björn", "Cecilie", "David", "Elin", "Frode", "Göran", "Hanna", "Ida", "Jonas", "Kari", "Lars")
LAST = ("Berg", "Dahl", "Ek", "Fors", "Holm", "Lund", "Moen", "Nilsson", "Ødegård", "Strand")
ACCOUNTS = tuple(
    (3000 + 100 * place, name) for place, name in enumerate(("Revenue", "Licences", "Wages", "Rent", "Travel"))
)
CENTERS = ((10, "Delivery"), (20, "Sales"), (30, "Support"))


@dataclass
class Sheet:
    """One table as it is now. `changes` names the columns that a random change may touch, and how."""

    captions: list[str]
    rows: list[Row]
    changes: Mapping[str, Callable[[random.Random, Cell], Cell]] = field(default_factory=dict)
    version: int = 0


def sheets(seed: int, today: datetime) -> dict[str, Sheet]:
    """All tables of a company on that day, by link."""
    draw = random.Random(f"links {seed}")
    made = {
        "employee_groups": _coded(GROUPS, 1),
        "employment_types": _coded(TYPES, 100),
        "cost_categories": _categories(draw),
        "project_cost_setups": _setups(draw),
        "cost_element_per_time_type": _factors(draw),
        "financial_results": _results(draw, today),
    }
    for place, name in enumerate(SUBSIDIARIES):
        made[f"part_time_employees.{name}"] = _part_timers(draw, OWNERS[place], 1_000 * (place + 1), place)
    return made


def new_row(sheet: Sheet, draw: random.Random) -> Row:
    """A further row beside the existing ones: a copy of one whose key is new."""
    row = dict(draw.choice(sheet.rows)) if sheet.rows else dict.fromkeys(sheet.captions)
    keys = [caption for caption in sheet.captions if caption not in sheet.changes]
    for caption in reversed(keys):
        value = row.get(caption)
        if isinstance(value, int) and not isinstance(value, bool):
            row[caption] = max((each.get(caption) or 0) for each in sheet.rows) + 1
            return row
        if type(value) is date:
            row[caption] = max(each[caption] for each in sheet.rows) + timedelta(days=1)
            return row
    row[keys[-1]] = f"{row[keys[-1]]} {len(sheet.rows) + draw.randrange(10**6)}"
    return row


def _coded(names: tuple[str, ...], first: int) -> Sheet:
    rows: list[Row] = [
        {"Owner": owner, "Code": first + place, "Description": name}
        for owner in OWNERS
        for place, name in enumerate(names)
    ]
    return Sheet(["Owner", "Code", "Description"], rows, {"Description": _reworded})


def _moment(draw: random.Random) -> datetime:
    """A time in working hours, which no zone skips or repeats; cells have no zone."""
    day = date(2022, 1, 1) + timedelta(days=draw.randrange(1_200))
    return datetime.combine(day, time(8)) + timedelta(seconds=draw.randrange(8 * 3_600))


def _categories(draw: random.Random) -> Sheet:
    captions = ["Owner", "Code", "Description", "Created", "Modified"]
    rows = []
    for owner in OWNERS:
        for place, name in enumerate(CATEGORIES):
            created = _moment(draw)
            row = [owner, f"{10 * (place + 1):04}", name, created, created + timedelta(days=draw.randrange(400))]
            rows.append(dict(zip(captions, row, strict=True)))
    return Sheet(captions, rows, {"Description": _reworded, "Created": _kept, "Modified": _later})


def _setups(draw: random.Random) -> Sheet:
    captions = ["Object", "Object Value", "Cost Element", "Date From", "Cur", "Rate"]
    rows = [
        dict(zip(captions, ["Project", f"P{number:05}", element, date(year, 1, 1), "SEK", _rate(draw)], strict=True))
        for number in range(1, 101)
        for element in ELEMENTS
        for year in YEARS
    ]
    return Sheet(captions, rows, {"Cur": _kept, "Rate": lambda random_, _: _rate(random_)})


def _rate(draw: random.Random) -> Decimal:
    return Decimal(draw.randrange(20_000, 150_000)).scaleb(-2)


def _factors(draw: random.Random) -> Sheet:
    captions = ["Time Type", "Project Cost Element", "Cost Factor", "Created", "Modified"]
    rows = []
    for kind in TIME_TYPES:
        for element in ELEMENTS:
            created = _moment(draw)
            row = [kind, element, Decimal(draw.randrange(50, 300)).scaleb(-2), created, created + timedelta(days=3)]
            rows.append(dict(zip(captions, row, strict=True)))
    changes = {"Cost Factor": lambda random_, _: _rate(random_) / 100, "Created": _kept, "Modified": _later}
    return Sheet(captions, rows, changes)


def _part_timers(draw: random.Random, owner: str, first: int, count: int) -> Sheet:
    """The people of one subsidiary. The first one has none, so that its link shows the dummy row only."""
    captions = [
        "Owner", "Employee #", "Work Schedule #", "Employee Name", "Work Schedule Name", "Date From", "Date To"
    ]  # fmt: skip
    dummy = [owner, first, "0000", "Nobody", "None", DUMMY_DAY, DUMMY_DAY]
    rows = [dict(zip(captions, dummy, strict=True))]
    for person in range(1, 12 * count + 1):
        schedule, name = draw.choice(SCHEDULES)
        begin = date(2023, 1, 1) + timedelta(days=draw.randrange(1_000))
        until = begin + timedelta(days=365) if draw.random() < 0.3 else None
        named = f"{draw.choice(FIRST)} {draw.choice(LAST)}"
        rows.append(dict(zip(captions, [owner, first + person, schedule, named, name, begin, until], strict=True)))
    changes = {"Work Schedule Name": _reworded, "Employee Name": _reworded, "Work Schedule #": _kept, "Date To": _kept}
    return Sheet(captions, rows, changes)


def _results(draw: random.Random, today: datetime) -> Sheet:
    captions = [
        "Owner", "Account Name", "Account #", "Cost Center Name", "Cost Center #", "Period", "Amount in USD",
        "Amount in SEK",
    ]  # fmt: skip
    last = today.year * 12 + today.month - 1
    rows: list[Row] = []
    for month in range(last - MONTHS + 1, last + 1):
        period = f"{month // 12:04}-{month % 12 + 1:02}"
        for owner in OWNERS[1:]:
            for account, name in ACCOUNTS:
                for center, place in CENTERS:
                    dollars = Decimal(draw.randrange(-(10**8), 10**8)).scaleb(-2)
                    row = [owner, name, account, place, center, period, dollars, dollars * 10]
                    rows.append(dict(zip(captions, row, strict=True)))
    changes = dict.fromkeys(("Amount in USD", "Amount in SEK"), lambda random_, _: _rate(random_))
    return Sheet(captions, rows, changes | dict.fromkeys(("Account Name", "Cost Center Name", "Period"), _kept))


def _reworded(draw: random.Random, value: Cell) -> Cell:
    return f"{str(value).split(' (')[0]} ({draw.randrange(10**6)})"


def _later(draw: random.Random, value: Cell) -> Cell:
    return value + timedelta(days=draw.randrange(1, 30))


def _kept(_: random.Random, value: Cell) -> Cell:
    return value
