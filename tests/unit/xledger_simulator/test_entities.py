from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from postroad.connectors.xledger.simulator import XledgerSimulator
from postroad.connectors.xledger.simulator.tables import CONNECTIONS, ENTITIES

Ask = Callable[..., Any]
THE_GROUP = 10
NAMES = [table.name for table in ENTITIES]
TABLES_OF_THE_FACT_SHEET = {
    "timesheets": """dbId createdAt modifiedAt assignmentDate workingHours isHeaderApproved headerApprovedAt
        hourlyRevenueCurrency owner.dbId owner.description owner.ownerCode employee.dbId employee.description
        employee.code activity.code activity.description timeType.code timeType.description project.dbId
        project.description project.code timesheetStatus.name text ownerDbId approvedAt projectDbId approved comment
        hourlyCost income invoiced invoiceHours payroll posted timeFrom timeTo employeeDbId""",
    "projects": """dbId description code shortInfo shortInternalInfo yourReference toDate customer.dbId
        customer.description customer.email customer.code customer.address.country.description company.dbId
        company.description company.companyNumber company.code company.country glObject1.dbId glObject1.description
        glObject1.code glObject1.objectKind.name projectManager.dbId projectManager.description
        projectGroup.description projectGroup.code projectGroup.levelParent.levelParent.levelParent.description
        projectGroup.levelParent.code flexiFieldsItem.code2.description flexiFieldsItem.code2.code
        text email extIdentifier extOrder contract overview invoiceHeader invoiceFooter fromDate totalRevenue
        yearlyRevenue contractedRevenue totalCost yearlyCost pctCompleted totalEstimateHours yearlyEstimateHours
        budgetCoveragePercent external billable fixedClient allowPosting timesheetEntry accessControl assignment
        activity expenseLedger fundProject createdAt modifiedAt progressDate ownerDbId mainProjectDbId xgl.code
        glObject5.dbId""",
    "employees": """dbId email description code createdAt modifiedAt employmentFrom employmentTo owner.description
        owner.ownerCode positionValue.dbId positionValue.description positionValue.code positionCategory.code
        compensationType.code employmentType.description employmentType.code employmentType.owner.description
        employeeGroup.description employeeGroup.code contact.firstName contact.lastName contact.birthday contact.age
        contact.country.description contact.gender.name exitReason.dbId exitReason.description exitReason.code
        glObject1.dbId glObject1.description glObject1.code glObject1.id superior.description superior.code
        flexiFieldsItem.code1.description flexiFieldsItem.code2.code flexiFieldDate1 flexiFieldNumber1 dateFrom dateTo
        ownerDbId managerPhone anniversaryDate noticeDate seniorityDate contactDbId flextime info internalInfo overtime
        overview socialSecurityMasked timebased timesheet trialTo""",
    "customers": """dbId description email code number company.dbId company.description company.email company.name
        company.companyNumber company.phone company.address.streetAddress company.billAddress.zipCode
        company.shipAddress.place company.address.fullAddress subledgerGroup.dbId subledgerGroup.description
        accountsPayableAccount.description accountsPayableAccount.code accountsPayableAccount.accountGroup.description
        accountsPayableAccount.accountGroup.code isIntraGroup extIdentifier createdAt modifiedAt phone phone2
        invoiceNumber yourReference fromDate toDate ownerDbId codeTranslated descriptionTranslated id
        paymentNotification creditLimit contract notes taxNo payDocText bankAccount companyDbId subledgerGroupDbId
        address.country.code flexiFieldFlag4 flexiFieldDate4 flexiFieldValue4 flexiFieldNumber2 flexiFieldText8
        flexiFieldCode8DbId""",
    "suppliers": """dbId description code phone number companyDbId bankAccount notes company.dbId company.companyNumber
        subledgerGroup.dbId subledgerGroup.description address.dbId address.streetAddress address.zipCode address.place
        address.fullAddress contact.dbId contact.name email fromDate toDate modifiedAt ownerDbId contract yourReference
        glObject1.code glObject5.code""",
    "transactions": """dbId text owner.description account.accountGroup.description account.accountGroup.codeTranslated
        account.sysAccount.description account.sysAccount.codeTranslated account.descriptionTranslated account.code
        account.description company.description company.address.fullAddress glDimension.glObject1.description
        glDimension.glObject1.code glDimension.glObject1.objectKind.name glDimension.glObject2.description
        glDimension.glObject2.code glDimension.glObject2.objectKind.name currency.code amount invoiceAmount taxAmount
        taxRule.description taxRule.code header.postedDate header.trProcessLevel.name
        header.transactionSource.description header.transactionSource.code header.trRegNumber header.transactionNumber
        period.description period.fromDate period.toDate period.monthNumber ownerDbId monthNumber periodNumber
        positionNumber accountDbId companyDbId glObject1DbId glObject5DbId matchId periodId amount3 amount5 quantity
        reconciled bankAccount header.createdAt header.modifiedAt header.fiscalYear period.fiscalPeriod unitNumber
        unitQuantity""",
    "arTransactions": """dbId owner.description owner.ownerCode company.description company.phone company.email
        company.address.streetAddress company.address.fullAddress billAddress.zipCode billAddress.place
        account.description account.code account.descriptionTranslated slTransactionType.name ledgerType.name
        glDimension.glObject1.code glDimension.glObject2.objectKind.name invoiceNumber transactionHeader.postedDate
        transactionHeader.trProcessLevel.name transactionHeader.transactionSource.code transactionHeader.trRegNumber
        transactionHeader.transactionNumber period.description period.fiscalYear period.fromDate period.toDate
        period.monthNumber invoiceDate dueDate paymentDate currency.code exchangeRate amount amount3 amount4
        invoiceAmount invoiceRemaining bankAccount text ownerDbId headerCreatedAt headerModifiedAt interestDate
        lastPaymentDate reminderDate headerTransactionSourceDbId matchId subledgerDbId extIdentifier interest lateFee
        paymentReference reconciled invoiceFile.dbId invoiceFile.url""",
}
TABLES_OF_THE_FACT_SHEET["apTransactions"] = TABLES_OF_THE_FACT_SHEET["arTransactions"]


@pytest.fixture(scope="module")
def company() -> Iterator[XledgerSimulator]:
    """A company that nobody changes."""
    with XledgerSimulator(
        seed=4, timesheets=2_000, sizes={"transactions": 900, "customers": 150, "suppliers": 90}
    ) as company:
        yield company


@pytest.fixture(scope="module")
def rows(company: XledgerSimulator) -> Callable[[str], dict[int, Any]]:
    found: dict[str, dict[int, Any]] = {}

    def look(entity: str) -> dict[int, Any]:
        if entity not in found:
            found[entity] = company.rows(entity=entity)
        return found[entity]

    return look


@pytest.mark.parametrize("entity", NAMES)
def test_every_column_of_the_fact_sheet_is_there_and_holds_something(
    rows: Callable[[str], dict[int, Any]], entity: str
) -> None:
    always_null = set(TABLES_OF_THE_FACT_SHEET[entity].split())
    for row in rows(entity).values():
        always_null -= {path for path in always_null if leaf(row, path) is not None}
        if not always_null:
            break
    assert always_null <= {"amount5", "glObject5.dbId", "glObject5.code", "glObject5DbId"}


def leaf(row: Any, path: str) -> Any:
    """The value at a path; a KeyError if the schema has no such field."""
    for step in path.split("."):
        if row is None:
            return None
        row = row[step]
    return row


@pytest.mark.parametrize(
    ("entity", "reference", "target", "shown"),
    [
        ("timesheets", "employee", "employees", ("code", "description")),
        ("timesheets", "project", "projects", ("code", "description")),
        ("projects", "customer", "customers", ("code", "description", "email", "number")),
        ("projects", "company", "companies", ("code", "description", "companyNumber", "country")),
        ("employees", "contact", "contacts", ("firstName", "lastName", "birthday")),
        ("employees", "employeeGroup", "employeeGroups", ("code", "description", "modifiedAt")),
        ("customers", "company", "companies", ("name", "email", "phone")),
        ("customers", "accountsPayableAccount", "accounts", ("code", "description")),
        ("suppliers", "company", "companies", ("name", "companyNumber")),
        ("transactions", "account", "accounts", ("code", "description", "descriptionTranslated")),
        ("transactions", "company", "companies", ("description",)),
        ("transactions", "currency", "currencies", ("code",)),
        ("arTransactions", "company", "companies", ("description", "phone", "email")),
        ("arTransactions", "subledger", "customers", ("code", "description")),
        ("apTransactions", "subledger", "suppliers", ("code", "description")),
        ("budgetDetails", "glObject2", "projects", ("code", "description")),
        ("exchangeRates", "currency", "currencies", ("code", "description")),
    ],
)
def test_references_hold(
    rows: Callable[[str], dict[int, Any]], entity: str, reference: str, target: str, shown: tuple[str, ...]
) -> None:
    others, followed = rows(target), 0
    for row in rows(entity).values():
        pointed = row[reference]
        if pointed is None or pointed.get("owner", {}).get("ownerCode") == THE_GROUP:
            continue  # nothing, or something that the token does not reach
        other = others[pointed["dbId"]]
        assert {name: pointed[name] for name in shown} == {name: other[name] for name in shown}
        followed += 1
    assert followed


def test_invoices_belong_together(rows: Callable[[str], dict[int, Any]]) -> None:
    """An invoice's company is its customer's or supplier's; period, posting and invoice date agree; so do vouchers."""
    for entity, parties in (("arTransactions", "customers"), ("apTransactions", "suppliers")):
        for row in rows(entity).values():
            assert row["company"]["dbId"] == rows(parties)[row["subledgerDbId"]]["companyDbId"]
            assert row["period"]["fromDate"] <= row["invoiceDate"] <= row["period"]["toDate"]
            assert row["invoiceDate"] == row["transactionHeader"]["postedDate"] < row["dueDate"]
            assert row["invoiceRemaining"] == ("0.00" if row["paymentDate"] else row["invoiceAmount"])
    suppliers = {row["companyDbId"] for row in rows("suppliers").values()}
    customers = {row["companyDbId"] for row in rows("customers").values()}
    vouchers: dict[int, set[str]] = {}
    for row in rows("transactions").values():
        assert row["companyDbId"] in {None, *suppliers, *customers}
        assert row["period"]["fromDate"] <= row["header"]["postedDate"] <= row["period"]["toDate"]
        assert row["monthNumber"] == row["period"]["monthNumber"]
        vouchers.setdefault(row["header"]["dbId"], set()).add(row["owner"]["description"])
    assert {len(owners) for owners in vouchers.values()} == {1}
    assert len(vouchers) < len(rows("transactions"))


def test_values_are_difficult(rows: Callable[[str], dict[int, Any]]) -> None:
    texts = json.dumps([list(rows(name).values())[:300] for name in NAMES], ensure_ascii=False)
    for difficult in ("🙂", '\\"', "\\n", "\\\\", "株式会社", "<b>", '""', "null", "T02:"):
        assert difficult in texts
    codes = {row["code"] for name in ("employees", "projects", "customers") for row in rows(name).values()}
    assert any(code.startswith("0") for code in codes)
    assert any(not code.isascii() for code in codes)
    amounts = {row["amount"] for row in rows("transactions").values()}
    assert any(len(amount.partition(".")[2]) == 9 for amount in amounts)
    assert any(amount.startswith("-") for amount in amounts)


def input_fields(ask: Ask, kind: str) -> dict[str, str]:
    """The terms of a filter and their types, by introspection."""
    document = """query ($name: String!) { __type(name: $name) { inputFields { name type {
      name ofType { ofType { name } } } } } }"""
    fields = ask(document, name=kind)["__type"]["inputFields"]
    return {each["name"]: each["type"]["name"] or each["type"]["ofType"]["ofType"]["name"] for each in fields}


def test_filters_have_the_types_of_the_fact_sheet(ask: Ask) -> None:
    filters = {table.name: input_fields(ask, table.filter) for table in CONNECTIONS.values()}
    assert {name for name in NAMES if filters[name]["dbId_in"] == "Int64String"} == {"timesheets", "transactions"}
    assert {filters[name]["dbId_in"] for name in NAMES} == {"Int64String", "Int"}
    unmodified = {name for name, terms in filters.items() if "modifiedAt_gte" not in terms}
    assert unmodified == {"transactions", "arTransactions", "apTransactions", "countries", "currencies", "entities"}
    assert not any("modified" in term.lower() for name in unmodified for term in filters[name])


@pytest.mark.parametrize("name", sorted(CONNECTIONS))
def test_each_connection_walks_and_filters(simulator: XledgerSimulator, ask: Ask, name: str) -> None:
    """Pages follow each other, a row is found by its dbId, and nothing is found as `edges: null`."""
    walk = f"""query ($after: String, $filter: {CONNECTIONS[name].filter}) {{
      {name}(first: 7, after: $after, filter: $filter) {{
        edges {{ cursor node {{ dbId }} }} pageInfo {{ hasNextPage }} }} }}"""
    ids, after, more = [], None, True
    while more:
        page = ask(walk, after=after)[name]
        ids += [edge["node"]["dbId"] for edge in page["edges"]]
        after, more = page["edges"][-1]["cursor"], page["pageInfo"]["hasNextPage"]
    assert [int(each) for each in ids] == list(simulator.rows(entity=name))
    found = ask(walk, filter={"dbId_in": [ids[2], ids[0]]})[name]["edges"]
    assert [edge["node"]["dbId"] for edge in found] == [ids[0], ids[2]]
    assert ask(walk, filter={"dbId": 1})[name] == {"edges": None, "pageInfo": {"hasNextPage": False}}


@pytest.mark.parametrize("name", NAMES)
def test_each_entity_has_a_feed(simulator: XledgerSimulator, ask: Ask, name: str) -> None:
    root = next(table.deltas_root for table in ENTITIES if table.name == name)
    feed = f"{{ {root} {{ edges {{ mutationType node {{ dbId _current {{ dbId }} }} }} }} }}"
    [added], [deleted] = simulator.add(1, name), simulator.delete(1, name)
    [changed] = simulator.mutate(1, name)
    simulator.restore([deleted], name)
    found = [(edge["mutationType"], int(edge["node"]["dbId"])) for edge in ask(feed)[root]["edges"]]
    assert found == [("ADDED", added), ("DELETED", deleted), ("UPDATED", changed), ("ADDED", deleted)]
    assert {added, changed, deleted} <= simulator.rows(entity=name).keys()
    assert ask("{ timesheet_deltas { edges { cursor } } }")["timesheet_deltas"]["edges"] is None or name == "timesheets"


@pytest.mark.parametrize("name", ["employeeGroups", "accounts", "exchangeRates", "budgetDetails", "countries"])
def test_rows_without_a_feed_change_too(simulator: XledgerSimulator, name: str) -> None:
    before = simulator.rows(entity=name)
    [changed] = simulator.mutate(1, name)
    [added] = simulator.add(1, name)
    after = simulator.rows(entity=name)
    assert after.keys() - before.keys() == {added}
    assert after[changed]["modifiedAt"] != before[changed]["modifiedAt"]
    assert simulator.counts()["deltas"] == 0


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize(
    ("kind", "entity", "shown"),
    [
        ("project", "projects", {"timesheets": "project", "transactions": "glDimension.glObject2"}),
        ("employee", "employees", {"timesheets": "employee", "projects": "projectManager"}),
        ("customer", "customers", {"projects": "customer", "arTransactions": "subledger"}),
        ("company", "companies", {"customers": "company", "arTransactions": "company"}),
    ],
)
def test_a_new_name_shows_in_every_row_that_refers_to_it(
    simulator: XledgerSimulator, kind: str, entity: str, shown: dict[str, str], logged: bool
) -> None:
    simulator.switch(renames_make_delta=logged)
    wanted = {name: simulator.rows(entity=name) for name in shown}
    db_id = next(
        each for each in simulator.rows(entity=entity)
        if all(any(leaf(row, path + ".dbId") == each for row in wanted[name].values()) for name, path in shown.items())
    )  # fmt: skip
    made = simulator.rename(kind, db_id, "Nytt namn")
    assert simulator.counts()["deltas"] == made
    users = 0
    for name, path in shown.items():
        for row in simulator.rows(entity=name).values():
            if leaf(row, path + ".dbId") == db_id:
                assert leaf(row, path + ".description") == "Nytt namn"
                users += 1
    assert simulator.rows(entity=entity)[db_id]["description"] == "Nytt namn"
    assert made >= users if logged else made == (entity != "companies")


def test_what_others_refer_to_cannot_be_deleted(simulator: XledgerSimulator) -> None:
    used = next(row["project"]["dbId"] for row in simulator.rows().values() if row["project"])
    with pytest.raises(ValueError, match="refer"):
        simulator.delete([used], "projects")
    [spare] = simulator.delete(1, "projects")
    simulator.restore([spare], "projects")
    simulator.update(min(simulator.rows()), project=spare)
    with pytest.raises(ValueError, match="refer"):
        simulator.delete([spare], "projects")


def test_a_row_that_is_added_brings_what_it_refers_to(simulator: XledgerSimulator) -> None:
    for db_id in simulator.add(12, "customers"):
        company = simulator.rows(entity="customers")[db_id]["companyDbId"]
        assert company in simulator.rows(entity="companies")


@pytest.mark.parametrize(
    ("mode", "references"),
    [("null", {"null"}), ("zero", {'{"dbId": 0, "code": null}'}), ("mixed", {"null", '{"dbId": 0, "code": null}'})],
)
def test_references_of_projects_to_nothing(
    simulator: XledgerSimulator, ask: Ask, mode: str, references: set[str]
) -> None:
    simulator.switch(null_reference=mode)
    document = "{ projects { edges { node { glObject4 { dbId code } glObject5 { dbId code } mainProjectDbId } } } }"
    nodes = [edge["node"] for edge in ask(document)["projects"]["edges"]]
    assert {json.dumps(node[name]) for node in nodes for name in ("glObject4", "glObject5")} == references
    empty = {node["mainProjectDbId"] for node in nodes} & {0, None}
    assert empty == {0 if reference != "null" else None for reference in references}


def test_sizes_are_in_proportion_or_chosen() -> None:
    small, large = XledgerSimulator(timesheets=1_000).counts(), XledgerSimulator(timesheets=200_000).counts()
    assert all(small[name] < large[name] for name in NAMES)
    chosen = XledgerSimulator(timesheets=50, sizes={"projects": 500, "transactions": 100_000, "employees": 0})
    counts = chosen.counts()
    assert (counts["projects"], counts["transactions"], counts["timesheets"]) == (500, 100_000, 50)
    assert all(row["employee"] is None for row in chosen.rows("ALL").values())
    with pytest.raises(ValueError, match="only for"):
        XledgerSimulator(sizes={"project": 3})
    with pytest.raises(ValueError, match="from 0 to"):
        XledgerSimulator(sizes={"projects": 10_000_000})


def test_a_large_company_answers_at_once() -> None:
    """Nothing is made before it is asked for, and a name is looked up, not searched."""
    large = XledgerSimulator(
        timesheets=5_000_000, sizes={"transactions": 1_000_000, "projects": 200_000, "customers": 500_000}
    )
    assert len(large.mutate(100, "transactions")) == len(large.mutate(100, "customers")) == 100
    [row] = large.rows(entity="transactions", after=700_101_500_000, limit=1).values()
    assert row["account"]["code"]
