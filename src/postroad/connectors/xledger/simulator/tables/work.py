"""Timesheets, and the lists that only they refer to. Fact sheet 2.2."""

from __future__ import annotations

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import NOW, TODAY, Column, Field, Ids, Make, Table
from postroad.connectors.xledger.simulator.generate import ID_STEP, Generated
from postroad.connectors.xledger.simulator.makers import (
    approved_at,
    assigned,
    created,
    ids,
    modified,
    only_where,
    pick,
    product,
    same,
    words,
)
from postroad.connectors.xledger.simulator.tables.people import employer
from postroad.connectors.xledger.simulator.tables.words import codes, hidden, id_of, objects, owned, ref


def _owner(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """The company that the employee works for."""
    return [employer(int(place or 0)) for place in rows.values("employee", start, stop)]


def _status(rows: Generated, _name: str, start: int, stop: int) -> Column:
    draws = rows.draw("status", start, stop)
    return [1 if byte < 20 else 2 if byte < 45 else 3 if byte < 130 else 4 for byte in draws]


def _from(least: int) -> Make:
    """True from some status on."""
    return lambda rows, _name, start, stop: [byte >= least for byte in rows.draw("status", start, stop)]


def _clocked(hour: str) -> Make:
    """Start or end of work, known for one row in four."""

    def make(rows: Generated, _name: str, start: int, stop: int) -> Column:
        pairs = zip(rows.values("assignmentDate", start, stop), rows.draw("clocked", start, stop), strict=True)
        return [f"{day}T{hour}:00" if byte < 64 else None for day, byte in pairs]

    return make


TIMESHEETS = Table(
    "timesheets",
    "timesheet",
    "Timesheet",
    {
        "dbId": Field("Int64String", ids),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        "assignmentDate": Field("DateString", assigned),
        "workingHours": Field("DecimalString", words(*names.HOURS)),
        "isHeaderApproved": Field("Boolean", _from(45)),
        "headerApprovedAt": Field("DateTimeString", only_where("approved", approved_at)),
        "hourlyRevenueCurrency": Field("MoneyString", words(*names.RATES)),
        **owned(_owner),
        # A timesheet always has an owner, an employee, a time type and a status.
        "employee": ref("employees", pick("employees")),
        "employeeDbId": id_of("employee", "employees"),
        "activity": ref("activities", pick("activities", empty=3)),
        "timeType": ref("timeTypes", pick("timeTypes")),
        "project": ref("projects", pick("projects", empty=12)),
        "projectDbId": id_of("project", "projects"),
        "timesheetStatus": ref("statuses", _status, "CodeObject"),
        "text": Field("String", words(*names.TEXTS)),
        "comment": Field("String", words(*(None,) * 12, *names.TEXTS)),
        "approved": Field("Boolean", _from(45)),
        "approvedAt": Field("DateTimeString", only_where("approved", approved_at)),
        "approvedBy": ref("employees", only_where("approved", pick("employees"), 0)),
        "assignment": ref("assignments", pick("assignments", empty=200)),
        "object": ref("objects", pick("objects", empty=128)),
        "objectValue": ref("objects", pick("objects", empty=128)),
        "salesOrderDetail": ref("orders", pick("orders", empty=230)),
        "subledger": ref("employees", pick("employees")),
        "hourlyCost": Field("MoneyString", words(*names.COSTS)),
        "income": Field("MoneyString", product("hourlyRevenueCurrency", "workingHours")),
        "invoiced": Field("Boolean", _from(190)),
        "invoiceHours": Field("DecimalString", same("workingHours")),
        "payroll": Field("Boolean", words(True, True, True, False)),
        "posted": Field("Boolean", _from(130)),
        "timeFrom": Field("DateTimeString", _clocked("08:00")),
        "timeTo": Field("DateTimeString", _clocked("16:30")),
        "closed": hidden(_from(243), kind="Boolean"),
    },
    lambda _sizes: 1_000,
    Ids(lambda seed: 3_000_000_000 + seed % 1_000 * 100_000_000, ID_STEP, wide=True),
    connection=True,
    sized=True,
    deltas=True,
    mutable=("workingHours", "text"),
    fresh={
        "createdAt": NOW, "modifiedAt": NOW, "assignmentDate": TODAY, "isHeaderApproved": False, "approved": False,
        "invoiced": False, "posted": False, "headerApprovedAt": None, "approvedAt": None, "approvedBy": 0,
        "timesheetStatus": 1, "closed": False,
    },
)  # fmt: skip

LISTS = (
    objects("activities", "activity", names.ACTIVITIES, "{:03}", 30_001, "ACTIVITY"),
    objects("timeTypes", "timeType", names.TIME_TYPES, "{:02}", 31_001),
    objects("assignments", "assignment", [f"Uppdrag {number}" for number in range(40)], "U{}", 32_001),
    objects("orders", "order", [f"Orderrad {number}" for number in range(30)], "O{}", 34_001),
    codes("statuses", "status", names.STATUSES, 41_001, 57),
)
