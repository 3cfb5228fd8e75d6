"""The part of Xledger in `postroad demo`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from postroad.connectors.xledger.example import SIMULATOR_TOKEN
from postroad.sdk.demo import Deed, Demo, Question, Sent

DONE = {
    "timesheets": (40, 300, 60),
    "projects": (1, 5, 2),
    "employees": (1, 4, 2),
    "customers": (1, 5, 3),
    "suppliers": (1, 3, 2),
    "transactions": (0, 20, 200),
    "arTransactions": (3, 25, 30),
    "apTransactions": (2, 15, 20),
}
"""By entity how many rows are deleted, changed and new."""

COST = Question(
    "What the hours of 2024 cost: timesheets and projects joined with rates and factors behind links",
    """\
SELECT p.customer_description AS customer, p.description AS project,
       sum(t.workingHours)::DECIMAL(18, 2) AS hours,
       sum(t.workingHours * r.Rate * f.Cost_Factor)::DECIMAL(18, 0) AS cost
FROM xledger.timesheets t
JOIN xledger.projects p ON p.dbId = t.project_dbId
JOIN links.project_cost_setups r ON r.Object_Value = p.code AND r.Cost_Element = 'Direct cost'
JOIN links.cost_element_per_time_type f
  ON f.Time_Type = t.timeType_description AND f.Project_Cost_Element = r.Cost_Element
WHERE year(t.assignmentDate) = 2024 AND year(r.Date_From) = 2024
GROUP BY ALL ORDER BY cost DESC LIMIT 5""",
)
HISTORY = Question(
    "The history keeps what was: a timesheet before and after somebody changed it",
    """\
SELECT dbId, employee_description AS employee, assignmentDate AS day,
       workingHours::DECIMAL(9, 2) AS hours, date_trunc('second', _changed_at) AS changed_at
FROM xledger.timesheets_changes
WHERE dbId = (SELECT dbId FROM xledger.timesheets_changes WHERE _op = 'upsert'
              GROUP BY dbId HAVING count(DISTINCT workingHours) = 2 ORDER BY dbId LIMIT 1)
ORDER BY _version""",
)


def _introduction(rows: int) -> str:
    return f"Xledger: {rows:,} timesheets, as many transactions, and six more entities; our token reaches most"


def _options(rows: int) -> list[str]:
    return ["--timesheets", str(rows)]


def _variables(address: str) -> Mapping[str, str]:
    return {"XLEDGER_URL": f"{address}/graphql", "XLEDGER_TOKEN": SIMULATOR_TOKEN}


def _deeds() -> Iterator[Deed]:
    """Deletes first, then changes, then what is new: each finds rows that none before it has touched."""
    calls: tuple[tuple[int, Literal["deleted", "changed", "new"], str, str], ...] = (
        (0, "deleted", "delete", "which"),
        (1, "changed", "mutate", "n"),
        (2, "new", "add", "n"),
    )
    for place, what, call, argument in calls:
        for entity, counts in DONE.items():
            if counts[place]:
                yield Deed(entity, what, counts[place], call, {argument: counts[place], "entity": entity})


HOURS = (
    "select: [employee_description, project_dbId, assignmentDate, workingHours]",
    "where: assignmentDate >= '2024-01-01'",
    "rename: {assignmentDate: day, workingHours: hours}",
)
SENT = (Sent("timesheets", "hours", HOURS), Sent("suppliers", "suppliers", kept=True, shared=True))
DEMO = Demo(1, _introduction, _options, _variables, tuple(_deeds()), (COST, HISTORY), SENT)
