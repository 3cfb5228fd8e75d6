"""The root fields of a request, each answered by its connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from postroad.connectors.xledger.simulator.feed import delta_page
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import connection_json
from postroad.connectors.xledger.simulator.selection import Selected
from postroad.connectors.xledger.simulator.store import Store
from postroad.connectors.xledger.simulator.switches import Switches
from postroad.connectors.xledger.simulator.tables import CONNECTIONS, DELTAS
from postroad.connectors.xledger.simulator.walk import row_page
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
        walked = selected.name in CONNECTIONS
        table = (CONNECTIONS if walked else DELTAS)[selected.name]
        answer = row_page if walked else delta_page
        page = answer(self.store.rows[table.name], self.switches, selected.arguments, struck)
        self.rows += page.count
        return connection_json(selected, page, struck)
