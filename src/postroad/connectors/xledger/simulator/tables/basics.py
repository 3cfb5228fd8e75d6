"""What the other tables lean on: the companies of the tenant, countries, currencies, periods, lists of objects.

Fact sheet 1.6 (object values, code objects), 2.9 (connections), 4.2 (numbers of periods).
"""

from __future__ import annotations

from datetime import date, timedelta

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import Field, Ids, Table
from postroad.connectors.xledger.simulator.makers import beside, counted, ids, listed, modified, pattern
from postroad.connectors.xledger.simulator.tables.words import KINDS, codes, fixed, hidden, near, objects

MONTHS = tuple((year, month) for year in range(2020, 2027) for month in range(1, 13))


def _last_day(year: int, month: int) -> str:
    return (date(year + month // 12, month % 12 + 1, 1) - timedelta(1)).isoformat()


ENTITIES = Table(
    "entities",
    "owner",
    "Entity",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", listed("10", "11", "12", "13", "14")),
        "description": Field("String", listed(*names.COMPANIES)),
        "ownerCode": Field("Int", counted(10)),
        "owner": hidden(beside(), "entities"),
    },
    fixed(len(names.COMPANIES)),
    near(0),
    connection=True,
)

COUNTRIES = Table(
    "countries",
    "country",
    "Country",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", listed(*names.COUNTRIES)),
        "description": Field("String", listed(*names.COUNTRIES.values())),
        "phonePrefix": Field("String", listed(*names.PHONE_PREFIXES)),
        "inEu": Field("Boolean", listed(True, False, True, True, True, True, False, False, True, True)),
        "modifiedAt": Field("DateTimeString", modified),
    },
    fixed(len(names.COUNTRIES)),
    near(40_001),
    connection=True,
    mutable=("phonePrefix",),
    unfiltered=frozenset({"modifiedAt"}),
)

CURRENCIES = Table(
    "currencies",
    "currency",
    "Currency",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", listed(*names.CURRENCIES)),
        "description": Field("String", listed(*names.CURRENCIES.values())),
        "symbol": Field("String", listed("kr", "kr", "€", "$", "£", "kr", "¥", None)),
        "decimals": Field("Int", listed(2, 2, 2, 2, 2, 2, 0, 3)),
        "modifiedAt": Field("DateTimeString", modified),
    },
    fixed(len(names.CURRENCIES)),
    near(40_101),
    connection=True,
    mutable=("symbol",),
    unfiltered=frozenset({"modifiedAt"}),
)

OBJECT_KINDS = Table(
    "objectKinds",
    "objectKind",
    "ObjectKind",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", pattern("{:02}")),
        "name": Field("String", listed(*KINDS)),
    },
    fixed(len(KINDS)),
    Ids(listed=(9, 14, 21, 33, 34, 58, 71, 156)),
)

PERIODS = Table(
    "periods",
    "period",
    "Period",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", listed(*(f"{year}{month:02}" for year, month in MONTHS))),
        "description": Field("String", listed(*(f"{names.MONTHS[month - 1]} {year}" for year, month in MONTHS))),
        "fromDate": Field("DateString", listed(*(f"{year}-{month:02}-01" for year, month in MONTHS))),
        "toDate": Field("DateString", listed(*(_last_day(year, month) for year, month in MONTHS))),
        "monthNumber": Field("Int", listed(*(month for _, month in MONTHS))),
        "fiscalYear": Field("Int", listed(*(year for year, _ in MONTHS))),
        "fiscalPeriod": Field("Int", listed(*(month for _, month in MONTHS))),
        "year": Field("Int", listed(*(year for year, _ in MONTHS))),
    },
    fixed(len(MONTHS)),
    Ids(listed=tuple(256 * (year - 2000) + 16 + month for year, month in MONTHS)),
)

LISTS = (
    objects("objects", "object", [f"Kostnadsställe {number}" for number in range(25)], "{:02}", 33_001, "COST_CENTER"),
    objects("flexiCodes", "flexiCode", names.FLEXI_CODES, "F{:02}", 35_001),
    objects("taxRules", "taxRule", names.TAX_RULES, "{:02}", 35_101, "TAX_RULE"),
    objects("users", "user", [f"användare{number}" for number in range(20)], "u{:03}", 35_201),
    objects("paymentTerms", "paymentTerm", ("30 dagar netto", "10 dagar netto", "Förskott", ""), "{:02}", 35_301),
    objects("priceLists", "priceList", ("Prislista A", "Prislista B", "Ramavtal"), "PL{}", 35_401),
    objects("layouts", "layout", ("Standard", "Med bilaga", "Engelsk"), "{}", 35_501),
    objects("dimensions", "dimension", [f"XGL {number}" for number in range(6)], "X{:02}", 35_601),
    codes("deliveryMethods", "deliveryMethod", ("EMAIL", "POST", "PEPPOL"), 36_001, 61),
    codes("paymentMethods", "paymentMethod", ("BANKGIRO", "PLUSGIRO", "SEPA", "CARD"), 36_101, 62),
    codes("languages", "language", ("sv", "nb", "en", "de"), 36_201, 63),
    codes("genders", "gender", ("Kvinna", "Man", "Annat"), 36_301, 64),
)
"""Where the many further references point to; each is a short list."""
