"""Data projects ("definition groups") and the position of change tracking in each (fact sheet 2.5 and 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from postroad.connectors.d365_finops.simulator.entities import Entity, catalogue
from postroad.connectors.d365_finops.simulator.files import Columns, drifted
from postroad.connectors.d365_finops.simulator.values import held_value

FULL = "FullPush"
GROUPS = "DataManagementDefinitionGroups"
DETAILS = "DataManagementDefinitionGroupDetails"

Row = dict[str, Any]


@dataclass
class Line:
    """An entity of a project: `row` is what OData shows of it, `drift` how its mapping differs from the entity."""

    entity: Entity
    row: Row
    drift: dict[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> Columns:
        """The columns of its file."""
        plain = tuple((field.column, field) for field in self.entity.fields)
        return drifted(plain, **{"add": [], "drop": [], "rename": {}, "rotate": 0, **self.drift})


@dataclass
class Project:
    """A data project."""

    row: Row
    lines: list[Line] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name, which the API calls an id."""
        return str(self.row["Name"])

    def line(self, entity: Entity) -> Line:
        """The line of an entity; a LookupError if the project has none."""
        for line in self.lines:
            if line.entity == entity:
                return line
        raise LookupError(f"project {self.name} has no {entity.label}")


@dataclass(frozen=True)
class Position:
    """A position of change tracking: the environment's count, and when."""

    version: int
    at: float


class Projects:
    """All projects; their names differ in more than case. Not thread safe."""

    def __init__(self) -> None:
        self._projects: dict[str, Project] = {}
        self._positions: dict[tuple[str, str, str], Position] = {}
        self.untracked: set[str] = set()

    def __iter__(self) -> Iterator[Project]:
        return iter(self._projects.values())

    def find(self, name: str) -> Project:
        """The project of that name; a LookupError if there is none."""
        found = self._projects.get(name.lower())
        if found is None:
            raise LookupError(f"Data project {name} does not exist.")
        return found

    def create(self, values: Mapping[str, Any]) -> Project:
        """Create a project from what OData was given; ValueError or LookupError for what cannot be."""
        row = checked(GROUPS, values, ProjectCategory="Project", GenerateDataPackage="No", OperationType="Export")
        if row["Name"].lower() in self._projects:
            raise ValueError(f"Data project {row['Name']} already exists.")
        row["Description"] = row["Description"][:60]
        project = self._projects[row["Name"].lower()] = Project(row)
        return project

    def delete(self, name: str) -> None:
        """Delete a project and where it is in the changes."""
        del self._projects[self.find(name).name.lower()]
        self.reset(project=name)

    def add_line(self, values: Mapping[str, Any], incremental: str) -> Line:
        """Add an entity to a project; without `AutoGenerateMapping` it stays unmapped, and an export of it hangs."""
        row = checked(DETAILS, values, SourceFormat="CSV-Unicode", DefaultRefreshType=FULL)
        project, entity = self.find(row["DefinitionGroupId"]), catalogue().find(row["EntityName"])
        if entity in (line.entity for line in project.lines):
            raise ValueError(f"{entity.label} is already in project {project.name}.")
        if row["DefaultRefreshType"] not in {FULL, incremental}:
            raise ValueError(f"'{row['DefaultRefreshType']}' is no refresh type: {FULL}, {incremental}")
        row |= {"EntityName": entity.label, "ValidationStatus": row["AutoGenerateMapping"]}
        row |= {name: row[name] or 1 for name in ("ExecutionUnit", "LevelInExecutionUnit")}
        row["SequenceInLevel"] = row["SequenceInLevel"] or len(project.lines) + 1
        line = Line(entity, row)
        project.lines.append(line)
        return line

    def remap(self, name: str, entity: Entity, drift: dict[str, Any]) -> None:
        """Change the columns of one file of a project for good; its next incremental export is full."""
        self.find(name).line(entity).drift = drift
        self.reset(name, entity)

    # ---- change tracking ----

    def position(self, project: str, entity: Entity, company: str) -> Position | None:
        """Where a project is in the changes of an entity; None if nowhere, so that everything is exported."""
        return None if entity.collection in self.untracked else self._positions.get(_place(project, entity, company))

    def move(self, project: str, entity: Entity, company: str, to: Position) -> None:
        """Move a position on; never back."""
        place = _place(project, entity, company)
        held = self._positions.get(place)
        if held is None or held.version <= to.version:
            self._positions[place] = to

    def reset(self, project: str | None = None, entity: Entity | None = None) -> int:
        """Forget positions, of one project or entity or of all; how many."""
        gone = [
            place
            for place in self._positions
            if (project is None or place[0] == project.lower()) and (entity is None or place[1] == entity.collection)
        ]
        for place in gone:
            del self._positions[place]
        return len(gone)

    def advance(self, entity: Entity, to: Position) -> int:
        """Move every position of an entity on without an export, as another consumer of its changes does; how many."""
        places = [place for place in self._positions if place[1] == entity.collection]
        self._positions |= dict.fromkeys(places, to)
        return len(places)


def checked(collection: str, values: Mapping[str, Any], **defaults: Any) -> Row:
    """A whole row of one of data management's sets; a ValueError for names and values that it cannot have."""
    entity = catalogue().own[collection]
    unknown = [name for name in values if name not in entity.by_name and "@" not in name]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is no property of {collection}")
    row = {field.name: _default(entity, field.name) for field in entity.fields} | defaults
    row |= {name: held_value(entity.by_name[name], value) for name, value in values.items() if "@" not in name}
    missing = [name for name in entity.key if not row[name]]
    if missing:
        raise ValueError(f"{missing[0]} must be given")
    return row


def _default(entity: Entity, name: str) -> Any:
    field = entity.by_name[name]
    return catalogue().enums[field.enum][0] if field.enum else "" if field.kind == "s" else 0


def _place(project: str, entity: Entity, company: str) -> tuple[str, str, str]:
    return project.lower(), entity.collection, company.lower()
