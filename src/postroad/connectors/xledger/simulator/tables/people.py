"""Employees, their contacts, and the lists that they refer to. Fact sheet 2.4 and 2.9 (employeeGroups)."""

from __future__ import annotations

from datetime import date

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import NOW, Column, Field, Table, view
from postroad.connectors.xledger.simulator.generate import Generated
from postroad.connectors.xledger.simulator.makers import (
    always,
    beside,
    created,
    dates,
    ids,
    joined,
    listed,
    modified,
    numbered,
    only_where,
    pattern,
    pick,
    same,
    share,
    unknown,
    via,
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
    objects,
    owned,
    ref,
    whole,
)


def employer(place: int) -> int:
    """The company that an employee works for: the group for one in twenty, else one that the token reaches."""
    key = place % 4_096
    return 1 if key % 20 == 19 else 2 + key % 5 % 4


def _employers(_rows: Generated, _name: str, start: int, stop: int) -> Column:
    return [employer(number + 1) for number in range(start, stop)]


def _age(rows: Generated, _name: str, start: int, stop: int) -> Column:
    return [birthday and 2026 - int(str(birthday)[:4]) for birthday in rows.values("birthday", start, stop)]


EMPLOYEES = Table(
    "employees",
    "employee",
    "Employee",
    {
        "dbId": Field("Int", ids),
        "email": Field("String", unknown(6, pattern("anställd{}@nordvik.example", "", 0))),
        "description": Field("String", via("contact", "name")),
        "code": Field("String", pattern("{:04}", "K{:03}", 7)),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        "employmentFrom": Field("DateString", dates(date(2005, 1, 1), date(2024, 12, 1))),
        "employmentTo": Field("DateString", only_where("closed", dates(date(2024, 12, 31), date(2026, 6, 30)))),
        **owned(_employers),
        "positionValue": ref("positionValues", pick("positionValues", 20)),
        "positionCategory": ref("positionCategories", pick("positionCategories", 20)),
        "compensationType": ref("compensationTypes", pick("compensationTypes", 4)),
        "employmentType": ref("employmentTypes", pick("employmentTypes", 4)),
        "employeeGroup": ref("employeeGroups", pick("employeeGroups", 30), "EmployeeGroup"),
        "contact": ref("contacts", beside(2, 1), "Contact"),
        "contactDbId": id_of("contact", "contacts"),
        "exitReason": ref("exitReasons", only_where("closed", pick("exitReasons", 20), 0)),
        "glObject1": ref("objects", pick("objects", 3)),
        "glObject2": ref("objects", pick("objects", 180)),
        "glObject3": ref("objects", always(0)),
        "glObject4": ref("objects", always(0)),
        "glObject5": ref("objects", always(0)),
        "superior": ref("employees", pick("employees", 25)),
        "assistant": ref("employees", pick("employees", 240)),
        "subledger": ref("users", pick("users", 60)),
        "user": ref("users", pick("users", 90)),
        "xgl": ref("dimensions", pick("dimensions", 128)),
        "flexiFieldsItem": Field("EmployeeFlexiFields", part=True),
        "flexiFieldDate1": Field("DateString", dates(date(2020, 1, 1), date(2026, 1, 1), 128)),
        "flexiFieldNumber1": Field("Int", within(0, 100, 128)),
        "dateFrom": Field("DateString", same("employmentFrom")),
        "dateTo": Field("DateString", same("employmentTo")),
        "managerPhone": Field("String", words(None, "", "+46 70-123 45 67", "070/765 43 21", "0046701112233")),
        "anniversaryDate": Field("DateString", dates(date(2025, 1, 1), date(2026, 12, 31), 200)),
        "noticeDate": Field("DateString", only_where("closed", dates(date(2024, 9, 1), date(2025, 12, 1)))),
        "seniorityDate": Field("DateString", same("employmentFrom")),
        "trialTo": Field("DateString", dates(date(2020, 1, 1), date(2025, 6, 30), 200)),
        "flextime": Field("Boolean", share(150)),
        "overtime": Field("Boolean", share(100)),
        "timebased": Field("Boolean", share(200)),
        "timesheet": Field("Boolean", share(250)),
        "info": Field("String", words(*names.TEXTS)),
        "internalInfo": Field("String", words(*(None,) * 12, *names.TEXTS)),
        "overview": Field("String", words(*(None,) * 5, "Se personalakt", "")),
        "socialSecurityMasked": Field("String", pattern("19{:06}-****")),
        "closed": hidden(share(28), kind="Boolean"),
        "flexiCode1": hidden(pick("flexiCodes", 60), "flexiCodes"),
        "flexiCode2": hidden(pick("flexiCodes", 160), "flexiCodes"),
        **as_object("EMPLOYEE"),
    },
    whole(lambda sizes: min(max(sizes["timesheets"] // 400, 12), 3_000)),
    far(0),
    connection=True,
    sized=True,
    deltas=True,
    spare=True,
    mutable=("managerPhone", "info", "flexiFieldNumber1", "positionValue"),
    fresh={
        "createdAt": NOW, "modifiedAt": NOW, "employmentTo": None, "dateTo": None, "noticeDate": None, "exitReason": 0,
        "closed": False,
    },
)  # fmt: skip

FLEXI_FIELDS = view(
    "EmployeeFlexiFields",
    code1=ref("flexiCodes", column="flexiCode1"),
    code2=ref("flexiCodes", column="flexiCode2"),
    date1=Field("DateString", column="flexiFieldDate1"),
    number1=Field("Int", column="flexiFieldNumber1"),
)

EMPLOYEE_GROUPS = Table(
    "employeeGroups",
    "employeeGroup",
    "EmployeeGroup",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", pattern("{:02}")),
        "description": Field("String", numbered(names.EMPLOYEE_GROUPS)),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(listed(2, 3, 4, 5)),
    },
    fixed(16),
    near(42_001),
    connection=True,
    spare=True,
    fresh={"createdAt": NOW, "modifiedAt": NOW},
)

CONTACTS = Table(
    "contacts",
    "contact",
    "Contact",
    {
        "dbId": Field("Int", ids),
        "firstName": Field("String", words(*names.FIRST_NAMES)),
        "lastName": Field("String", words(*names.LAST_NAMES)),
        "name": Field("String", joined("firstName", "lastName")),
        "birthday": Field("DateString", dates(date(1956, 1, 1), date(2006, 12, 31), 20)),
        "age": Field("Int", _age),
        "email": Field("String", unknown(60, pattern("kontakt{}@post.example"))),
        "phone": Field("String", words(None, "", "+46 920 23 00 00", "070-555 01 02", "(08) 555 123 45")),
        "country": ref("countries", words(*(1,) * 12, 2, 3, 4, 0, 0), "Country"),
        "gender": ref("genders", words(1, 1, 1, 2, 2, 2, 3, 0), "CodeObject"),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(listed(2, 3, 4, 5)),
    },
    lambda sizes: 2 * max(sizes["employees"], sizes["suppliers"]),
    far(1),
    connection=True,
    mutable=("phone",),
    fresh={"createdAt": NOW, "modifiedAt": NOW},
)
"""Employees have the odd places, suppliers the even ones."""

LISTS = (
    objects("positionValues", "positionValue", names.POSITIONS, "{:04}", 37_001),
    objects("positionCategories", "positionCategory", ("Tjänsteman", "Ledning", "Arbetare"), "T{}", 37_101),
    objects("compensationTypes", "compensationType", ("Månadslön", "Timlön", "Arvode"), "{:02}", 37_201),
    objects("employmentTypes", "employmentType", ("Tillsvidare", "Visstid", "Vikariat", "Praktik"), "{:02}", 37_301),
    objects("exitReasons", "exitReason", ("Egen begäran", "Pension", "Arbetsbrist", "Övrigt"), "0{}", 37_401),
)
