"""A landed page of OData to rows: by Arrow where every value has its declared JSON type, value by value where not.

A value of another type fails Arrow's reader for the whole page; such a page is read again as texts, in which each bad
row stands alone, as in the file of a package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as arrow_json

from postroad.connectors.d365_finops.columns import Reading
from postroad.connectors.d365_finops.declaration import COMPANY, TYPES, Declaration, Field
from postroad.connectors.d365_finops.odata import MARK
from postroad.connectors.d365_finops.parse import rows_of
from postroad.connectors.d365_finops.settings import FinopsSettings
from postroad.connectors.d365_finops.table import Broken, Texts
from postroad.records import Payload, Rows

NUMBERS = "nir"
LONG = re.compile(rb"[0-9]{29}")  # Arrow reads some numbers of more than 38 digits as other ones
MOMENT = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.0+)?Z$"


def parse_page(payload: Payload, declaration: Declaration, settings: FinopsSettings) -> Iterator[Rows]:
    """The rows of one page. JSON writes moments and numbers in one way, whatever the settings say of files."""
    fields = [*(() if declaration.shared else (Field(COMPANY, "s"),)), *declaration.fields]
    body = (payload.body or b"").removeprefix(MARK)
    found = _typed(body, fields) or _texts(body, fields)
    reading = Reading(settings.model_copy(update={"dates": "iso", "decimal_sign": "."}))
    arrays = {each.name: _column(found.columns[each.name], each, reading) for each in fields}
    if not declaration.shared:
        # A legal entity's code has one spelling with us; what it has in OData no source tells.
        arrays[COMPANY] = pc.utf8_lower(arrays[COMPANY])
    yield rows_of(declaration, arrays, found, reading.bad)


def _column(values: pa.Array, field: Field, reading: Reading) -> pa.Array:
    if not pa.types.is_string(values.type):
        return values
    if field.kind in "dt":
        values = pc.replace_substring_regex(values, MOMENT, r"\1 \2")
    return reading.column(values, field)


def _typed(body: bytes, fields: Sequence[Field]) -> Texts | None:
    """The columns as Arrow reads them; None if a value has another type than its field, or is no text."""
    if LONG.search(body) or not _is_utf8(body):
        return None
    row = [(each.name, TYPES[each.kind] if each.kind in NUMBERS else pa.string()) for each in fields]
    try:
        table = arrow_json.read_json(
            pa.BufferReader(body),
            arrow_json.ReadOptions(use_threads=False, block_size=len(body) + 1),
            arrow_json.ParseOptions(
                explicit_schema=pa.schema([("value", pa.list_(pa.struct(row)))]),
                unexpected_field_behavior="ignore",
                newlines_in_values=True,
            ),
        )
    except pa.ArrowInvalid:
        return None
    nodes = pc.list_flatten(table.column("value").combine_chunks())
    return Texts({name: pc.struct_field(nodes, name) for name, _ in row}, pa.arange(0, len(nodes)), ())


def _texts(body: bytes, fields: Sequence[Field]) -> Texts:
    """The columns as texts, and the members of the page that are no rows; it loops, since Arrow could not read them."""
    rows, places, broken = [], [], []
    text = body.decode("utf-8", "surrogateescape")
    whole = json.loads(text, strict=False, parse_float=str, parse_int=str)
    for place, row in enumerate(whole["value"]):
        raw = json.dumps(row, ensure_ascii=True)
        if not isinstance(row, dict):
            broken.append(Broken(place, "bad_row", "it is no JSON object", raw))
        elif re.search(r"\\ud[89a-f]", raw) and not _is_text(row):
            broken.append(Broken(place, "bad_text", "the row holds what is no text", raw))
        else:
            rows.append(row)
            places.append(place)
    columns = {each.name: pa.array([_text(row.get(each.name)) for row in rows], pa.string()) for each in fields}
    return Texts(columns, pa.array(places, pa.int64()), broken)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_text(row: object) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
