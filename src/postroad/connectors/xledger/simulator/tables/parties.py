"""Customers and suppliers, and the companies and addresses behind them. Fact sheet 2.5 and 2.6."""

from __future__ import annotations

from datetime import date

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import NOW, Column, Field, Make, Table, view
from postroad.connectors.xledger.simulator.generate import Generated
from postroad.connectors.xledger.simulator.makers import (
    always,
    amounts,
    beside,
    counted,
    created,
    dates,
    ids,
    modified,
    numbered,
    pattern,
    pick,
    reckoned,
    same,
    share,
    unknown,
    via,
    within,
    words,
)
from postroad.connectors.xledger.simulator.tables.words import (
    as_object,
    codes,
    far,
    hidden,
    id_of,
    objects,
    owned,
    ref,
    steward,
    whole,
)

PHONES = words(None, "", "+46 8 555 123 00", "0920-23 00 00", "08/555 987 65", "+47 22 00 00 00", "070 123 45 67")


def _full_address(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """Several lines; without a street only the town."""
    parts = zip(*(rows.values(column, start, stop) for column in ("streetAddress", "zipCode", "place")), strict=True)
    return [f"{street}\n{code} {place}" if street else f"{code} {place}" for street, code, place in parts]


def _street(rows: Generated, name: str, start: int, stop: int) -> Column:
    streets, numbers = rows.draw(name, start, stop), rows.draw(name + "#", start, stop)
    pairs = zip(streets, numbers, strict=True)
    return [
        f"{names.STREETS[street % len(names.STREETS)]} {number}" if street < 246 else None for street, number in pairs
    ]


def _town(column: int) -> Make:
    """Zip code or town, which belong together; also country, as a place."""
    return lambda rows, _name, start, stop: [
        names.TOWNS[byte % len(names.TOWNS)][column] for byte in rows.draw("town", start, stop)
    ]


def flexi() -> dict[str, Field]:
    """The flat free fields of a customer."""
    fields = {f"flexiFieldFlag{n}": Field("Boolean", share(40 * n)) for n in range(1, 5)}
    fields |= {
        f"flexiFieldDate{n}": Field("DateString", dates(date(2020, 1, 1), date(2026, 1, 1), 50 * n))
        for n in range(1, 5)
    }
    fields |= {f"flexiFieldValue{n}": Field("MoneyString", unknown(50 * n, amounts(0, 9_999, 4))) for n in range(1, 5)}
    fields |= {f"flexiFieldNumber{n}": Field("Int", within(-5, 500, 100)) for n in range(1, 3)}
    fields |= {f"flexiFieldText{n}": Field("String", words(*(None,) * n, *names.TEXTS)) for n in range(1, 9)}
    for n in range(1, 9):
        fields |= {f"flexiCode{n}": hidden(pick("flexiCodes", 28 * n), "flexiCodes")}
        fields |= {f"flexiFieldCode{n}DbId": id_of(f"flexiCode{n}", "flexiCodes")}
    return fields


COMPANIES = Table(
    "companies",
    "company",
    "Company",
    {
        "dbId": Field("Int", ids),
        "description": Field("String", numbered(names.CLIENTS)),
        "name": Field("String", same("description")),
        "code": Field("String", pattern("{:05}", "F-{}", 11)),
        "companyNumber": Field("String", unknown(10, pattern("55{:04}-0012"))),
        "taxNumber": Field("String", unknown(30, pattern("SE55{:04}001201"))),
        "email": Field("String", unknown(25, pattern("info@företag{}.example", "ekonomi+faktura@bolag{}.example", 5))),
        "phone": Field("String", PHONES),
        "country": Field("String", words(*("Sverige",) * 9, "Norge", "Tyskland", None, "")),
        "address": ref("addresses", beside(3, 1), "Address"),
        "billAddress": ref("addresses", beside(3, 2), "Address"),
        "shipAddress": ref("addresses", beside(3, 3), "Address"),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(steward),
    },
    lambda sizes: 2 * max(sizes["customers"], sizes["suppliers"]),
    far(2),
    connection=True,
    mutable=("taxNumber",),
    fresh={"createdAt": NOW, "modifiedAt": NOW},
)
"""Customers have the odd places, suppliers the even ones."""

ADDRESSES = Table(
    "addresses",
    "address",
    "Address",
    {
        "dbId": Field("Int", ids),
        "streetAddress": Field("String", _street),
        "zipCode": Field("String", _town(0)),
        "place": Field("String", _town(1)),
        "fullAddress": Field("String", _full_address),
        "country": ref("countries", _town(2), "Country"),
    },
    lambda sizes: 3 * sizes["companies"],
    far(3),
)

CUSTOMERS = Table(
    "customers",
    "customer",
    "Customer",
    {
        "dbId": Field("Int", ids),
        "description": Field("String", via("company", "description")),
        "email": Field("String", via("company", "email")),
        "code": Field("String", pattern("{:05}", "K{:03}-Å", 9)),
        "number": Field("Int", unknown(5, counted(10_000))),
        "company": ref("companies", beside(2, 1), "Company"),
        "companyDbId": id_of("company", "companies"),
        "address": ref("addresses", reckoned("company", 3, 1), "Address"),
        "billAddress": ref("addresses", reckoned("company", 3, 2), "Address"),
        "shipAddress": ref("addresses", reckoned("company", 3, 3), "Address"),
        "subledgerGroup": ref("subledgerGroups", pick("subledgerGroups", 10)),
        "subledgerGroupDbId": id_of("subledgerGroup", "subledgerGroups"),
        "accountsPayableAccount": ref("accounts", pick("accounts", 20), "Account"),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(steward),
        "id": Field("String", pattern("{:06}")),
        "codeTranslated": Field("String", same("code")),
        "descriptionTranslated": Field("String", same("description")),
        "isIntraGroup": Field("Boolean", share(12)),
        "paymentNotification": Field("Boolean", share(128)),
        "extIdentifier": Field("String", unknown(128, pattern("CRM-{:06}"))),
        "phone": Field("String", via("company", "phone")),
        "phone2": Field("String", PHONES),
        "invoiceNumber": Field("String", unknown(200, pattern("0{:07}"))),
        "yourReference": Field("String", words(*names.REFERENCES)),
        "fromDate": Field("DateString", dates(date(2010, 1, 1), date(2024, 12, 31))),
        "toDate": Field("DateString", dates(date(2025, 1, 1), date(2030, 12, 31), 240)),
        "creditLimit": Field("MoneyString", unknown(100, amounts(0, 500_000))),
        "contract": Field("String", words(*(None,) * 5, "RAM-2023/17", "")),
        "notes": Field("String", words(*names.TEXTS)),
        "taxNo": Field("String", via("company", "taxNumber")),
        "payDocText": Field("String", words(None, "", "Ange OCR")),
        "bankAccount": Field("String", words(None, "5050-1055", "0012-3456", "")),
        "priceList": ref("priceLists", pick("priceLists", 128)),
        "priceGroup": ref("priceLists", pick("priceLists", 200)),
        "reportSetup": ref("layouts", pick("layouts", 200)),
        "invoiceLayout": ref("layouts", pick("layouts", 20)),
        "invoiceDeliveryMethod": ref("deliveryMethods", pick("deliveryMethods", 10), "CodeObject"),
        "language": ref("languages", pick("languages", 10), "CodeObject"),
        "currency": ref("currencies", words(*(1,) * 12, 2, 3, 4, 0), "Currency"),
        "ledgerType": ref("ledgerTypes", always(1), "CodeObject"),
        "xgl": ref("dimensions", pick("dimensions", 128)),
        "contact": ref("contacts", pick("contacts", 30), "Contact"),
        "ourRef": ref("employees", pick("employees", 40)),
        "ourSales": ref("employees", pick("employees", 90)),
        "glObject1": ref("objects", pick("objects", 100)),
        "glObject2": ref("objects", always(0)),
        "glObject3": ref("objects", always(0)),
        "glObject4": ref("objects", always(0)),
        "glObject5": ref("objects", always(0)),
        "payTerms": ref("paymentTerms", pick("paymentTerms", 10)),
        "payMethod": ref("paymentMethods", pick("paymentMethods", 10), "CodeObject"),
        "taxRule": ref("taxRules", pick("taxRules", 10)),
        **flexi(),
        "closed": hidden(share(14), kind="Boolean"),
        "objectKind": hidden(always(4), "objectKinds"),
    },
    whole(lambda sizes: min(max(sizes["timesheets"] // 500, 9), 3_000)),
    far(4),
    connection=True,
    sized=True,
    deltas=True,
    spare=True,
    mutable=("notes", "creditLimit", "yourReference", "payTerms"),
    fresh={"createdAt": NOW, "modifiedAt": NOW, "toDate": None, "closed": False},
)

PROJECT_CUSTOMER = view(
    "ProjectCustomer",
    dbId="Int", code="String", description="String", email="String", phone="String", number="Int",
    address=ref("addresses", shown="Address"), owner=ref("entities", shown="Entity"),
)  # fmt: skip

SUPPLIERS = Table(
    "suppliers",
    "supplier",
    "Supplier",
    {
        "dbId": Field("Int", ids),
        "description": Field("String", via("company", "description")),
        "code": Field("String", pattern("{:04}", "LEV-{}", 8)),
        "phone": Field("String", via("company", "phone")),
        "number": Field("Int", unknown(5, counted(50_000))),
        "company": ref("companies", beside(2, 2), "Company"),
        "companyDbId": id_of("company", "companies"),
        "bankAccount": Field("String", words(None, "5050-1055", "0012-3456", "SE35 5000 0000 0549 1000 0003", "")),
        "notes": Field("String", words(*names.TEXTS)),
        "subledgerGroup": ref("subledgerGroups", pick("subledgerGroups", 10)),
        "subledgerGroupDbId": id_of("subledgerGroup", "subledgerGroups"),
        "address": ref("addresses", reckoned("company", 3, 1), "Address"),
        "contact": ref("contacts", beside(2, 2), "Contact"),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(steward),
        "email": Field("String", via("company", "email")),
        "fromDate": Field("DateString", dates(date(2010, 1, 1), date(2024, 12, 31))),
        "toDate": Field("DateString", dates(date(2025, 1, 1), date(2030, 12, 31), 240)),
        "contract": Field("String", words(*(None,) * 5, "AVT-009", "")),
        "yourReference": Field("String", words(*names.REFERENCES)),
        "extIdentifier": Field("String", unknown(128, pattern("{:010}"))),
        "invoiceNumber": Field("String", unknown(200, pattern("0{:07}"))),
        "taxNo": Field("String", via("company", "taxNumber")),
        "creditLimit": Field("MoneyString", unknown(200, amounts(0, 500_000))),
        "currency": ref("currencies", words(*(1,) * 12, 2, 3, 4, 0), "Currency"),
        "language": ref("languages", pick("languages", 10), "CodeObject"),
        "payTerms": ref("paymentTerms", pick("paymentTerms", 10)),
        "payMethod": ref("paymentMethods", pick("paymentMethods", 10), "CodeObject"),
        "taxRule": ref("taxRules", pick("taxRules", 10)),
        "glObject1": ref("objects", pick("objects", 100)),
        "glObject2": ref("objects", always(0)),
        "glObject3": ref("objects", always(0)),
        "glObject4": ref("objects", always(0)),
        "glObject5": ref("objects", always(0)),
        "closed": hidden(share(14), kind="Boolean"),
        **as_object("SUPPLIER"),
    },
    whole(lambda sizes: min(max(sizes["timesheets"] // 600, 9), 3_000)),
    far(5),
    connection=True,
    sized=True,
    deltas=True,
    spare=True,
    mutable=("notes", "bankAccount", "yourReference", "payTerms"),
    fresh={"createdAt": NOW, "modifiedAt": NOW, "toDate": None, "closed": False},
)

LISTS = (
    objects("subledgerGroups", "subledgerGroup", ("Inrikes", "Utrikes", "Koncern", "Övriga"), "0{}", 38_001),
    codes("ledgerTypes", "ledgerType", ("AR", "AP"), 38_101, 71),
)
