from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from graphql import parse as graphql

from postroad.connectors.xledger.declaration import COLUMN_TYPES, Declaration
from postroad.connectors.xledger.documents import Ask, Reach, changes_document, rows_document, walk_document
from postroad.connectors.xledger.entities import AR_TRANSACTIONS, EIGHT, TIMESHEETS
from postroad.connectors.xledger.parse import parse
from postroad.records import Payload, Rows

REACH = Reach("MINE", "ALL", 10)
# What the earlier app stored that is no text and no whole number (fact sheet 2.2 to 2.8); its float money is decimal.
TYPED = {
    "timesheets": "workingHours hourlyRevenueCurrency",
    "transactions": "amount invoiceAmount taxAmount",
    "arTransactions": "exchangeRate amount amount3 amount4 invoiceAmount invoiceRemaining",
    "apTransactions": "exchangeRate amount amount3 amount4 invoiceAmount invoiceRemaining",
}
# The columns by entity: those of tables 2.2 to 2.8 in any version, and the times of changes added by us.
COLUMNS = {
    "timesheets": 22,
    "projects": 35,
    "employees": 44,
    "customers": 31,
    "suppliers": 20,
    "transactions": 34,
    "arTransactions": 48,
    "apTransactions": 48,
}


@pytest.mark.parametrize("declaration", EIGHT, ids=lambda each: each.name)
def test_a_declaration_is_a_table(declaration: Declaration) -> None:
    schema = declaration.schema
    assert len(schema) == COLUMNS[declaration.name]
    assert Counter(name.lower() for name in schema.names).most_common(1)[0][1] == 1
    assert schema.names[0] == "dbId"
    assert schema.field("dbId").type == pa.int64()
    assert {field.name for field in schema if pa.types.is_decimal(field.type)} == set(
        TYPED.get(declaration.name, "").split()
    )
    codes = [field for field in schema if field.name.lower().endswith("code") and field.name != "owner_ownerCode"]
    assert all(pa.types.is_string(field.type) for field in codes)
    assert declaration.changed_at in {None, *schema.names}
    assert (declaration.window is None) == (declaration.window_field is None)


def test_ids_are_asked_for_by_their_types() -> None:
    wide = {each.name for each in EIGHT if each.id_type == "Int64String"}
    assert wide == {"timesheets", "transactions"}
    assert {each.name for each in EIGHT if each.key_kind == "id64"} == wide
    assert {each.id_type for each in EIGHT} == {"Int64String", "Int"}


def test_weakness_27_every_document_is_graphql() -> None:
    asks = [Ask(each, "x", page=True, prior="w") for each in EIGHT]
    everything = [changes_document(asks, REACH, tenant=True)]
    everything += [walk_document(each, REACH, "x", tenant=True) for each in EIGHT]
    everything += [rows_document({each: (["1"], "x") for each in EIGHT}, REACH)]
    for document in everything:
        graphql(document.text)
        assert all(f"${name}" in document.text.partition("{")[2] for name in document.variables)


def test_three_kinds_of_transactions_have_no_window() -> None:
    assert {each.name: each.window for each in EIGHT if each.window != "modifiedAt"} == {
        "timesheets": "assignmentDate",
        "transactions": None,
        "arTransactions": None,
        "apTransactions": None,
    }


def row(declaration: Declaration, **node: Any) -> Rows:
    body = {"data": {declaration.name: {"edges": [{"cursor": "1", "node": {"dbId": 1, **node}}]}}}
    payload = Payload(json.dumps(body).encode(), None, entities=(declaration.name,), meta={"kind": "walk"})
    (found,) = parse(payload, [declaration], "Europe/Oslo")
    return found


@pytest.mark.parametrize("rate", ['"11.2345"', "11.2345", '"11.234500000"', "1.12345E1"])
def test_an_exchange_rate_is_read_as_text_and_as_number(rate: str) -> None:
    found = row(AR_TRANSACTIONS, exchangeRate="?", amount="-1.10")
    assert [refusal.cause for refusal in found.refusals] == ["wrong_type"]
    body = json.dumps({"data": {"arTransactions": {"edges": [{"node": {"dbId": 1, "exchangeRate": "?"}}]}}})
    payload = Payload(body.replace('"?"', rate).encode(), None, entities=("arTransactions",), meta={"kind": "walk"})
    (good,) = parse(payload, [AR_TRANSACTIONS], "Europe/Oslo")
    assert good.refusals == []
    assert good.records["exchangeRate"].to_pylist() == [Decimal("11.2345")]


def test_a_rate_that_does_not_fit_is_refused_not_rounded() -> None:
    (refusal,) = row(AR_TRANSACTIONS, exchangeRate=0.1234567891).refusals
    assert (refusal.cause, refusal.key) == ("bad_decimal", "[1]")


def test_columns_of_one_kind_have_one_type() -> None:
    for declaration in EIGHT:
        for field in declaration.fields:
            assert declaration.schema.field(field.column).type == COLUMN_TYPES[field.kind]
    assert TIMESHEETS.schema.field("employee_dbId").metadata == {b"source": b"employee.dbId"}
