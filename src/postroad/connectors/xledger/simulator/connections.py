"""The root fields of a request, each answered by its connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroad.connectors.xledger.simulator.feed import delta_page
from postroad.connectors.xledger.simulator.filters import OWNER_SETS
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import Arguments, Page, amount, connection_json, id_cursor
from postroad.connectors.xledger.simulator.render import object_text
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.connectors.xledger.simulator.walk import timesheet_page
from postroad.sdk.simulator import Fault


@dataclass
class Connections:
    """Answers the root fields of one request, under the faults that strike it. `rows` counts the edges."""

    store: Store
    switches: Switches
    faults: Sequence[Fault] = ()
    rows: int = field(default=0)

    def json(self, selected: Selected) -> bytes:
        """The JSON of one root field; a RefusedError if it cannot be answered."""
        struck = {fault.kind: fault for fault in self.faults if fault.root in {None, selected.name}}
        if "field_error" in struck:
            options = struck["field_error"].options
            raise RefusedError(options.get("message", "Internal error."), options.get("code", "UNHANDLED_ERROR"))
        if selected.name == "timesheets":
            page = timesheet_page(self.store, self.switches, selected.arguments, struck)
        elif selected.name == "timesheet_deltas":
            page = delta_page(self.store, self.switches, selected.arguments, struck)
        else:
            page = _entity_page(self.store, self.switches, selected.arguments)
        self.rows += page.count
        return connection_json(selected, page, struck)


def _entity_page(store: Store, switches: Switches, arguments: Arguments) -> Page:
    """The companies of an owner set."""
    places = OWNER_SETS[arguments.get("ownerSet") or switches.owner_set_default]
    everything = [store.catalog["owner"][place] for place in sorted(places)]
    low = id_cursor(arguments["after"]) if arguments.get("after") is not None else 0
    high = id_cursor(arguments["before"]) if arguments.get("before") is not None else 1 << 62
    page = amount(arguments, switches).of([entity for entity in everything if low < entity["dbId"] < high])
    return Page(
        len(page),
        lambda: [str(entity["dbId"]) for entity in page],
        lambda node: [object_text(node, entity) for entity in page],
        lambda: bool(page) and everything[-1]["dbId"] > page[-1]["dbId"],
        lambda: bool(page) and everything[0]["dbId"] < page[0]["dbId"],
    )
