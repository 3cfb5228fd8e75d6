"""The changes: one round exports the project with change tracking in every company, one company after another.

A position of change tracking moves when the export runs, not when its package is fetched (fact sheet 4). So what an
execution holds is wanted until it has landed, and whatever is lost on the way is remembered in the cursor before
anything else: the entity is due a full refresh then. The first export of an entity holds all of its rows; a walk reads
those, so nothing of it is landed: it only takes the position.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from postroad.connectors.d365_finops.api import Execution
from postroad.connectors.d365_finops.declaration import Declaration
from postroad.connectors.d365_finops.exports import LostError, Pause, mark
from postroad.connectors.d365_finops.faults import FileError
from postroad.connectors.d365_finops.session import Session
from postroad.errors import CursorExpiredError, EntitiesFailedError, RemoteError
from postroad.records import Payload, Want


@dataclass(frozen=True)
class Round:
    """An open round: the companies that are left, the execution of the first of them, and what of it has landed.

    `fresh` entities take their position in this round; `broken` ones could not, and why; `lost` ones held a position,
    and changes behind it are gone, and why. `asked` is the landing number at which the round was opened. `executions`
    are marks of the project's that were there before, and of ours.
    """

    left: tuple[str, ...]
    fresh: tuple[str, ...]
    size: int
    asked: int = 0
    executions: tuple[str, ...] | None = None
    execution: str | None = None
    began: float = 0.0
    seen: bool = False
    blocks: Mapping[str, int] | None = None
    broken: Mapping[str, str] | None = None
    lost: Mapping[str, str] | None = None


class Poll:
    """One reading of the changes of some entities to their head."""

    def __init__(self, session: Session, declarations: Sequence[Declaration], want: Want) -> None:
        self._session = session
        self._declarations = declarations
        self._names = [each.name for each in declarations]
        self._asked = want.landing
        self._cursor: dict[str, Any] = {name: held for name, held in (want.cursor or {}).items() if name in self._names}

    def payloads(self) -> Iterator[Payload]:
        """What follows the cursor; an open round is gone on with, and ends the poll.

        Raises CursorExpiredError for entities whose changes are lost, after those of the others were yielded.
        """
        self._refuse_foreign()
        self._refuse_lost({name: held["lost"] for name, held in self._cursor.items() if held.get("lost")})
        here = self._watched(self._open_round())
        while here.left:
            if here.execution is None:
                here = self._with(here, self._session.exports.minted())
                yield self._moved(here)
            here = yield from self._company(here)
            yield self._moved(here)
        yield Payload(None, self._final(here), asked=here.asked)
        self._refuse_lost(here.lost or {})
        if here.broken:
            raise EntitiesFailedError({name: RemoteError(why) for name, why in here.broken.items()})

    def _company(self, here: Round) -> Generator[Payload, None, Round]:
        """Land what the export of one company holds; the round after it."""
        company = here.left[0]
        assert here.execution is not None
        execution = Execution(here.execution, self._session.settings.project, company, here.began)
        try:
            status = self._session.exports.ended(execution, seen=here.seen)
            if isinstance(status, Pause):
                if status.seen and not here.seen:
                    yield self._moved(replace(here, seen=True))
                raise status.error
            labels = {each.name: each.label for each in self._declarations}
            failed = self._session.exports.failed(execution, labels, status)
            good = [name for name in self._names if name not in failed]
            failed |= yield from self._landed(here, execution, good)
        except LostError as error:
            failed = dict.fromkeys(self._names, f"{error}")
        return self._passed(here, company, failed)

    def _landed(
        self, here: Round, execution: Execution, good: Sequence[str]
    ) -> Generator[Payload, None, dict[str, str]]:
        """The blocks of the entities that have a position; those whose file cannot be used, and why."""
        passed_over = {*here.fresh, *(here.broken or {}), *(here.lost or {})}
        wanted = [each for each in self._declarations if each.name in good and each.name not in passed_over]
        wanted = [each for each in wanted if self._session.exports_of(each, execution.company)]
        unusable: dict[str, str] = {}
        if not wanted:
            return unusable
        with self._session.exports.package(execution) as package:
            for declaration in wanted:
                try:
                    for piece in self._session.pieces(package, execution, declaration, here.size):
                        done = dict(here.blocks or {})
                        if piece.meta["block"] < done.get(declaration.name, 0):
                            continue
                        here = replace(here, seen=True, blocks={**done, declaration.name: piece.meta["block"] + 1})
                        names = (declaration.name,)
                        yield Payload(piece.block.text, self._as_cursor(here), piece.identifier, names, piece.meta)
                except FileError as error:
                    unusable[declaration.name] = str(error)
        return unusable

    def _passed(self, here: Round, company: str, failed: Mapping[str, str]) -> Round:
        """The round once a company is done; of a shared entity only its own company's export counts."""
        broken, lost = dict(here.broken or {}), dict(here.lost or {})
        for declaration in self._declarations:
            name = declaration.name
            if name in failed and self._session.exports_of(declaration, company):
                kind = broken if name in here.fresh else lost
                kind.setdefault(name, f"{company}: {failed[name]}")
        return replace(
            here, left=here.left[1:], execution=None, seen=False, blocks=None, broken=broken or None, lost=lost or None
        )

    def _open_round(self) -> Round:
        """The round that is open, or a new one; entities without a position join it."""
        found = next((held["round"] for held in self._cursor.values() if held.get("round")), None)
        new = [name for name in self._names if name not in self._cursor]
        if found is None:
            lists = [held["executions"] for held in self._cursor.values() if held.get("executions") is not None]
            before = tuple(sorted({each_mark for each in lists for each_mark in each})) if lists else None
            return Round(self._session.settings.companies, tuple(new), self._session.block_size, self._asked, before)
        listed = found["executions"]
        whole = {"left": tuple(found["left"]), "fresh": tuple(found["fresh"])}
        here = Round(**{**found, **whole, "executions": None if listed is None else tuple(listed)})
        forgotten = [name for name in new if name not in here.fresh]
        kept = {name: why for name, why in (here.lost or {}).items() if name not in forgotten}
        return replace(here, fresh=(*here.fresh, *forgotten), lost=kept or None)

    def _watched(self, here: Round) -> Round:
        """The round with the executions that the project has; CursorExpiredError if one of them is a stranger's.

        Whoever exports the project gets the changes, and their positions move: somebody else, another copy of this
        project, or we ourselves, of whom these books know nothing because they were restored from a backup.
        """
        listed = self._session.exports.known()
        if listed is None:
            return here
        held = [name for name in self._names if name in self._cursor and name not in here.fresh]
        strangers = listed.difference(here.executions or ()) if here.executions is not None else set()
        if held and strangers:
            count = f"{len(strangers)} export{'s' if len(strangers) > 1 else ''}"
            self._refuse_lost(dict.fromkeys(held, f"{count} of {self._session.settings.project} was not ours"))
        ours = [mark(here.execution)] if here.execution is not None else []
        return replace(here, executions=tuple(sorted({*listed, *ours})))

    def _with(self, here: Round, minted: Mapping[str, Any]) -> Round:
        """The round with an execution of its own that is about to be started."""
        known = here.executions if here.executions is None else (*here.executions, mark(minted["execution"]))
        return replace(here, **minted, blocks=None, executions=known)

    def _moved(self, here: Round) -> Payload:
        return Payload(None, self._as_cursor(here))

    def _as_cursor(self, here: Round) -> dict[str, Any]:
        held = {"scope": self._session.settings.scope, "round": asdict(here)}
        return dict.fromkeys(self._names, held)

    def _final(self, here: Round) -> dict[str, Any]:
        """The positions after a round; one that could not be taken is none."""
        lost, scope = here.lost or {}, self._session.settings.scope
        good = {"scope": scope, "executions": here.executions and list(here.executions)}
        return {
            name: {"scope": scope, "lost": lost[name]} if name in lost else good
            for name in self._names
            if name not in (here.broken or {})
        }

    def _refuse_foreign(self) -> None:
        scope = self._session.settings.scope
        foreign = [name for name, held in self._cursor.items() if held.get("scope") != scope]
        if foreign:
            raise CursorExpiredError(
                f"the positions of {', '.join(foreign)} are those of another environment, project or list of companies",
                foreign,
                foreign=True,
            )

    def _refuse_lost(self, lost: Mapping[str, str]) -> None:
        if lost:
            told = "; ".join(f"{name}: {why}" for name, why in lost.items())
            raise CursorExpiredError(f"changes may be lost: {told}", list(lost))
