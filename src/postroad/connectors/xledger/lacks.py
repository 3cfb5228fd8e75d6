"""Fields that the server no longer knows: left out of the document, which is asked again (sequence 16).

An error names a field, not where in which entity it was asked for; so the schema is asked once, and says it for all
entities together. What is lacking is kept in the cursors, and the schema asked again after a day, so that no run pays
for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from postroad.connectors.xledger.answers import Reply
from postroad.connectors.xledger.api import Api
from postroad.connectors.xledger.declaration import DAY, KEY, Declaration
from postroad.connectors.xledger.documents import Document
from postroad.connectors.xledger.faults import LostError, QueryTimeoutError, UnknownFieldError, UnusableError
from postroad.connectors.xledger.schema import Lack, lost

NONE = Lack()
MONTH = 30 * DAY


class Lacks:
    """What the server lacks of each entity, as far as this source has learned it.

    Threads may learn at the same time, each of entities of its own.
    """

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._known: dict[str, Lack] = {}
        self._doubtful: set[str] = set()  # what was lacking of them was learned too long ago
        self._looked_up: set[str] = set()  # again, in the schema

    def of(self, name: str) -> Lack:
        """What is lacking of an entity."""
        return self._known.get(name, NONE)

    def applied(self, declaration: Declaration) -> Declaration:
        """A declaration without what is lacking."""
        return self.of(declaration.name).applied(declaration)

    def known_again(self, declaration: Declaration, cursor: Mapping[str, Any]) -> list[str]:
        """The fields that a cursor remembers as lacking, and that the schema has by now."""
        if declaration.name not in self._looked_up or "lacks" not in cursor:
            return []
        known = {each.name for each in declaration.fields} - {*self.of(declaration.name).fields}
        return [name for name in Lack.read(cursor["lacks"]).fields if name in known]

    def recall(self, declaration: Declaration, cursor: Mapping[str, Any] | None) -> None:
        """Take over what a cursor remembers, unless it is time to look whether it is there again."""
        told = (cursor or {}).get("lacks")
        if not told or declaration.name in self._known:
            return
        lack = Lack.read(told)
        if lack.whole and lack.queries != declaration.queries:
            return  # The project names others now.
        # Arguments were never there, so they are tried again seldom; whatever else is lacking is a nuisance.
        trusted = DAY if lack.fields or lack.extras or lack.whole else MONTH
        if 0 <= self._clock() - lack.since < trusted:
            self._known[declaration.name] = lack
        else:
            self._doubtful.add(declaration.name)

    def kept(self, name: str) -> dict[str, Any]:
        """The part of a cursor that remembers it."""
        lack = self.of(name)
        return {"lacks": lack.value()} if lack else {}

    def ask(
        self, declarations: Sequence[Declaration], build: Callable[[Callable[[Declaration], Declaration]], Document]
    ) -> Reply:
        """The answer to a document of these entities, built as often as needed from what is left of them.

        Raises what `Api.ask` does, and a LostError that names the entities of which too little is left.
        """
        self._look_again(declarations)
        while True:
            gone = [each.name for each in declarations if self.of(each.name).whole]
            if gone:
                raise LostError("; ".join(self.of(name).whole for name in gone), aliases=frozenset(gone))
            try:
                return self._api.ask(build(self.applied))
            except UnknownFieldError as error:
                if not self._learned(declarations, error):
                    raise

    def _look_again(self, declarations: Sequence[Declaration]) -> None:
        """Ask the schema what is still lacking, once for all; where it is not told, the documents will show it."""
        doubtful = [each for each in declarations if each.name in self._doubtful]
        if not doubtful:
            return
        self._doubtful -= {each.name for each in doubtful}
        try:
            schema = self._api.schema()
        except (UnusableError, QueryTimeoutError):
            return
        self._looked_up |= {each.name for each in doubtful}
        found = {each.name: schema.lack(each) for each in doubtful}
        self._known |= {name: replace(lack, since=self._clock()) for name, lack in found.items() if lack}

    def _learned(self, declarations: Sequence[Declaration], error: UnknownFieldError) -> bool:
        """Whether something is left out now that was asked for."""
        found = self._found(declarations, error)
        new = {name: lack for name, lack in found.items() if lack and replace(self.of(name), since=0.0) != lack}
        self._known |= {name: replace(lack, since=self._clock()) for name, lack in new.items()}
        return bool(new)

    def _found(self, declarations: Sequence[Declaration], error: UnknownFieldError) -> dict[str, Lack]:
        try:
            schema = self._api.schema()
        except (UnusableError, QueryTimeoutError):
            return {each.name: self._named(each, error.names) for each in declarations}
        found = {each.name: schema.lack(each) for each in declarations}
        return found if any(found.values()) else {each.name: self._named(each, error.names) for each in declarations}

    def _named(self, declaration: Declaration, names: frozenset[str]) -> Lack:
        """Without the schema all that is called so is left out: more than needed, but nothing is overwritten."""
        before = self.of(declaration.name)
        if gone := [query for query in declaration.queries if query in names]:
            return Lack(whole=lost(gone[0]), queries=declaration.queries)
        fields = (each.name for each in declaration.fields if each.path != KEY and not names.isdisjoint(each.path))
        return replace(
            before,
            fields=tuple(dict.fromkeys([*before.fields, *fields])),
            extras=tuple(dict.fromkeys([*before.extras, *(each for each in declaration.extras if each in names)])),
            since=0.0,
        )
