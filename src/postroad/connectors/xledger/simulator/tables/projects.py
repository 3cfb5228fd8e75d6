"""Projects and the tree of their groups. Fact sheet 2.3; types are those of the official sample where it has them."""

from __future__ import annotations

from datetime import date

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import NOW, Field, Table, view
from postroad.connectors.xledger.simulator.makers import (
    always,
    amounts,
    created,
    dates,
    floats,
    ids,
    listed,
    modified,
    numbered,
    pattern,
    pick,
    reckoned,
    share,
    unknown,
    within,
    words,
)
from postroad.connectors.xledger.simulator.tables.words import (
    as_object,
    far,
    fixed,
    hidden,
    id_of,
    near,
    owned,
    ref,
    steward,
    whole,
)

_MONEY = ("totalRevenue", "yearlyRevenue", "contractedRevenue", "totalCost", "yearlyCost")
_FLOATS = ("pctCompleted", "totalEstimateHours", "yearlyEstimateHours", "budgetCoveragePercent")
_FLAGS = (
    "external", "billable", "fixedClient", "allowPosting", "timesheetEntry", "accessControl", "assignment", "activity",
    "expenseLedger", "fundProject",
)  # fmt: skip
_TEXTS = ("text", "overview", "invoiceHeader", "invoiceFooter", "shortInfo", "shortInternalInfo")

PROJECTS = Table(
    "projects",
    "project",
    "Project",
    {
        "dbId": Field("Int", ids),
        "description": Field("String", numbered(names.PROJECTS)),
        "code": Field("String", pattern("P{:05}", "{:06}", 17)),
        **{name: Field("String", words(*names.TEXTS)) for name in _TEXTS},
        "yourReference": Field("String", words(*names.REFERENCES)),
        "email": Field("String", unknown(128, pattern("projekt{}@nordvik.example"))),
        "extIdentifier": Field("String", unknown(100, pattern("EXT/{:05}"))),
        "extOrder": Field("String", unknown(180, pattern("00{}"))),
        "contract": Field("String", words(*(None,) * 5, "RAM-2023/17", "")),
        "fromDate": Field("DateString", dates(date(2018, 1, 1), date(2024, 12, 31), 6)),
        "toDate": Field("DateString", dates(date(2025, 1, 1), date(2029, 12, 31), 160)),
        **{name: Field("MoneyString", unknown(30, amounts(-10_000, 5_000_000))) for name in _MONEY},
        **{name: Field("Float", floats(0, 1_000, 40)) for name in _FLOATS},
        **{name: Field("Boolean", share(80 + 15 * place)) for place, name in enumerate(_FLAGS)},
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        "progressDate": Field("DateTimeString", unknown(90, created)),
        **owned(steward),
        "customer": ref("customers", pick("customers", 50), "ProjectCustomer"),
        "company": ref("companies", reckoned("customer", 2, 1), "Company"),
        "mainProject": ref("projects", pick("projects", 200)),
        "mainProjectDbId": id_of("mainProject", "projects"),
        "invoiceProject": ref("projects", pick("projects", 230)),
        "glObject1": ref("objects", pick("objects", 12)),
        "glObject2": ref("objects", pick("objects", 200)),
        "glObject3": ref("objects", pick("objects", 240)),
        "glObject4": ref("objects", always(0)),
        "glObject5": ref("objects", always(0)),
        "xgl": ref("dimensions", pick("dimensions", 128)),
        "projectManager": ref("employees", pick("employees", 15)),
        "projectOwner": ref("employees", pick("employees", 90)),
        "ourRef": ref("employees", pick("employees", 60)),
        "ourSales": ref("employees", pick("employees", 120)),
        "projectGroup": ref("projectGroups", pick("projectGroups", 25), "ProjectGroup"),
        "flexiFieldsItem": Field("ProjectFlexiFields", part=True),
        "billAddress": ref("addresses", reckoned("company", 3, 2), "Address"),
        "shipAddress": ref("addresses", reckoned("company", 3, 3), "Address"),
        "currency": ref("currencies", words(*(1,) * 12, 2, 3, 4, 0), "Currency"),
        "paymentTerms": ref("paymentTerms", pick("paymentTerms", 20)),
        "priceGroup": ref("priceLists", pick("priceLists", 200)),
        "pricelist": ref("priceLists", pick("priceLists", 128)),
        "reportSetup": ref("layouts", pick("layouts", 200)),
        "invoiceDeliveryMethod": ref("deliveryMethods", pick("deliveryMethods", 20), "CodeObject"),
        "subledger": ref("users", pick("users", 128)),
        "taxRule": ref("taxRules", pick("taxRules", 40)),
        "user": ref("users", pick("users", 128)),
        "closed": hidden(share(20), kind="Boolean"),
        **{
            f"flexiDate{n}": hidden(dates(date(2020, 1, 1), date(2026, 1, 1), 60 * n), kind="DateString")
            for n in range(1, 5)
        },
        **{f"flexiFlag{n}": hidden(share(50 * n), kind="Boolean") for n in range(1, 5)},
        **{f"flexiNumber{n}": hidden(within(-3, 900, 80), kind="Int") for n in range(1, 3)},
        **{f"flexiText{n}": hidden(words(*(None,) * n, *names.TEXTS)) for n in range(1, 9)},
        **{f"flexiValue{n}": hidden(unknown(60 * n, amounts(0, 999, 4)), kind="MoneyString") for n in range(1, 5)},
        **{f"flexiCode{n}": hidden(pick("flexiCodes", 28 * n), "flexiCodes") for n in range(1, 9)},
        **as_object("PROJECT"),
    },
    whole(lambda sizes: min(max(sizes["timesheets"] // 300, 8), 4_000)),
    far(6),
    connection=True,
    sized=True,
    deltas=True,
    spare=True,
    mutable=("shortInfo", "pctCompleted", "totalCost", "projectManager"),
    fresh={"createdAt": NOW, "modifiedAt": NOW, "toDate": None, "closed": False},
)

FLEXI_FIELDS = view(
    "ProjectFlexiFields",
    **{f"date{n}": Field("DateString", column=f"flexiDate{n}") for n in range(1, 5)},
    **{f"flag{n}": Field("Boolean", column=f"flexiFlag{n}") for n in range(1, 5)},
    **{f"number{n}": Field("Int", column=f"flexiNumber{n}") for n in range(1, 3)},
    **{f"text{n}": Field("String", column=f"flexiText{n}") for n in range(1, 9)},
    **{f"value{n}": Field("MoneyString", column=f"flexiValue{n}") for n in range(1, 5)},
    **{f"code{n}": ref("flexiCodes", column=f"flexiCode{n}") for n in range(1, 9)},
)

PROJECT_GROUPS = Table(
    "projectGroups",
    "projectGroup",
    "ProjectGroup",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", pattern("{:03}", "{:02}X", 5)),
        "description": Field("String", numbered(names.PROJECT_GROUPS)),
        # Two roots, and under them up to three levels.
        "levelParent": ref("projectGroups", listed(0, 0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8, 9, 10, 2), "ProjectGroup"),
        **owned(listed(2, 3, 4, 5)),
    },
    fixed(16),
    near(43_001),
)
