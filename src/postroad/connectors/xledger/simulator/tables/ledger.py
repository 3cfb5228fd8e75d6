"""The general ledger: accounts, transactions with their headers, budgets, exchange rates. Fact sheet 2.7 and 2.9."""

from __future__ import annotations

from collections.abc import Callable

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import NOW, TODAY, Column, Field, Ids, Make, Sizes, Table, view
from postroad.connectors.xledger.simulator.generate import ID_STEP, Generated
from postroad.connectors.xledger.simulator.makers import (
    always,
    amounts,
    assigned,
    counted,
    created,
    days_of,
    ids,
    listed,
    modified,
    pattern,
    pick,
    same,
    share,
    unknown,
    via,
    within,
    words,
)
from postroad.connectors.xledger.simulator.moments import months
from postroad.connectors.xledger.simulator.tables.words import (
    codes,
    far,
    fixed,
    hidden,
    id_of,
    near,
    objects,
    owned,
    ref,
)

LINES = 3  # transactions of one voucher, which share its header
MIXER = 2_654_435_761  # spreads the numbers of headers (Knuth's multiplicative hash)


def header_table(name: str, singular: str, size: Callable[[Sizes], int], slot: int) -> Table:
    """The headers of vouchers, ascending in time."""
    return Table(
        name,
        singular,
        "TransactionHeader",
        {
            "dbId": Field("Int", ids),
            "trRegNumber": Field("Int", counted(100_000)),
            "transactionNumber": Field("Int", unknown(8, counted(500_000))),
            "postedDate": Field("DateString", assigned),
            "text": Field("String", words(*names.TEXTS)),
            "createdAt": Field("DateTimeString", created),
            "modifiedAt": Field("DateTimeString", modified),
            "importedAt": Field("DateTimeString", unknown(128, created)),
            "registeredAt": Field("DateTimeString", created),
            "archive": Field("Boolean", share(10)),
            "fiscalYear": Field("Int", via("period", "fiscalYear")),
            "period": ref("periods", _periods, "Period"),
            "trProcessLevel": ref("processLevels", words(1, 2, 2, 2, 3), "CodeObject"),
            "transProcessLevel": ref("processLevels", same("trProcessLevel"), "CodeObject"),
            "trProcessAction": ref("processLevels", pick("processLevels", 200), "CodeObject"),
            "processType": ref("processLevels", pick("processLevels", 200), "CodeObject"),
            "jobLevel": ref("processLevels", pick("processLevels", 128), "CodeObject"),
            "transactionSource": ref("transactionSources", pick("transactionSources", 4)),
            "user": ref("users", pick("users", 20)),
        },
        size,
        far(slot),
    )


def _periods(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """The period of the row's day."""
    counted_months = months()
    return [1 + counted_months[day] for day in days_of(rows, start, stop)]


def _headers(_rows: Generated, _name: str, start: int, stop: int) -> Column:
    return [number // LINES + 1 for number in range(start, stop)]


def _owners(_rows: Generated, _name: str, start: int, stop: int) -> Column:
    """One company for all lines of a voucher; the group for one in twenty."""
    numbers = (number // LINES for number in range(start, stop))
    return [1 if number % 20 == 19 else 2 + number % 4 for number in numbers]


def _companies(rows: Generated, _name: str, start: int, stop: int) -> Column:
    """Of one voucher in four a customer's company, of one a supplier's, of the others none."""
    customers, suppliers = rows.target("customers").reach, rows.target("suppliers").reach
    places: Column = []
    for number in range(start, stop):
        header = number // LINES
        mixed = header * MIXER % 2**32
        if header % 4 == 0 and customers:
            places.append(mixed % customers * 2 + 1)
        elif header % 4 == 1 and suppliers:
            places.append(mixed % suppliers * 2 + 2)
        else:
            places.append(0)
    return places


def dimension(place: int) -> Make:
    """Cost centre, project or nothing, as the first two dimensions are used."""
    return (pick("objects", 12), pick("projects", 60))[place - 1] if place < 3 else always(0)


ACCOUNTS = Table(
    "accounts",
    "account",
    "Account",
    {
        "dbId": Field("Int", ids),
        "code": Field("String", listed(*names.ACCOUNTS)),
        "description": Field("String", listed(*names.ACCOUNTS.values())),
        "descriptionTranslated": Field("String", listed(*names.ACCOUNTS_IN_ENGLISH)),
        "accountGroup": ref("accountGroups", listed(*(int(code[0]) for code in names.ACCOUNTS)), "AccountGroup"),
        "sysAccount": ref("sysAccounts", pick("sysAccounts", 60), "AccountGroup"),
        "taxRule": ref("taxRules", pick("taxRules", 100)),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(listed(2, 3, 4, 5)),
        "closed": hidden(share(10), kind="Boolean"),
    },
    fixed(len(names.ACCOUNTS)),
    near(44_001),
    connection=True,
    spare=True,
    mutable=("taxRule",),
    fresh={"createdAt": NOW, "modifiedAt": NOW, "closed": False},
)


def groups(name: str, singular: str, titles: tuple[str, ...], translated: str, offset: int) -> Table:
    """A short list with translated codes."""
    fields = {
        "dbId": Field("Int", ids),
        "code": Field("String", pattern("{}")),
        "codeTranslated": Field("String", pattern(translated)),
        "description": Field("String", listed(*titles)),
    }
    return Table(name, singular, "AccountGroup", fields, fixed(len(titles)), near(offset))


HEADERS = header_table("headers", "header", lambda sizes: sizes["transactions"] // LINES + 1, 7)

TRANSACTIONS = Table(
    "transactions",
    "transaction",
    "Transaction",
    {
        "dbId": Field("Int64String", ids),
        "text": Field("String", words(*names.TEXTS)),
        **owned(_owners),
        "account": ref("accounts", pick("accounts"), "Account"),
        "accountDbId": id_of("account", "accounts"),
        "company": ref("companies", _companies, "Company"),
        "companyDbId": id_of("company", "companies"),
        "glDimension": Field("GlDimension", part=True),
        "currency": ref("currencies", words(*(1,) * 10, 2, 3, 4), "Currency"),
        "amount": Field("MoneyString", amounts(-250_000, 250_000)),
        "invoiceAmount": Field("MoneyString", unknown(60, amounts(-300_000, 300_000))),
        "taxAmount": Field("MoneyString", unknown(90, amounts(-60_000, 60_000))),
        "taxRule": ref("taxRules", pick("taxRules", 60)),
        "header": ref("headers", _headers, "TransactionHeader"),
        "period": ref("periods", via("header", "period", 0), "Period"),
        "periodId": id_of("period", "periods"),
        "monthNumber": Field("Int", via("period", "monthNumber")),
        "periodNumber": Field("Int", via("period", "fiscalPeriod")),
        "positionNumber": Field("Int", listed(*range(1, LINES + 1))),
        **{f"glObject{n}": hidden(dimension(n), "objects" if n != 2 else "projects") for n in range(1, 6)},
        **{f"glObject{n}DbId": id_of(f"glObject{n}", "objects" if n != 2 else "projects") for n in range(1, 6)},
        "matchId": Field("Int", within(1, 60_000, 128)),
        "amount3": Field("MoneyString", same("amount")),
        "amount4": Field("MoneyString", amounts(-25_000, 25_000)),
        "amount5": Field("MoneyString", always(None)),
        "quantity": Field("DecimalString", unknown(128, amounts(0, 400))),
        "unitQuantity": Field("DecimalString", unknown(200, amounts(0, 400))),
        "unitNumber": Field("Int", within(0, 9, 200)),
        "reconciled": Field("Boolean", share(100)),
        "bankAccount": Field("String", words(None, None, None, "5050-1055", "0012-3456", "")),
        "xgl": ref("dimensions", pick("dimensions", 200)),
    },
    lambda sizes: sizes["timesheets"],
    Ids(lambda seed: 700_000_000_000 + seed % 1_000 * 100_000_000, ID_STEP, wide=True),
    connection=True,
    sized=True,
    deltas=True,
    mutable=("text", "matchId", "reconciled"),
)

GL_DIMENSION = view(
    "GlDimension",
    **{f"glObject{n}": ref("objects" if n != 2 else "projects", column=f"glObject{n}") for n in range(1, 6)},
)

BUDGET_DETAILS = Table(
    "budgetDetails",
    "budgetDetail",
    "BudgetDetail",
    {
        "dbId": Field("Int", ids),
        "amount3": Field("MoneyString", amounts(-500_000, 500_000)),
        "amount4": Field("MoneyString", unknown(30, amounts(-50_000, 50_000))),
        "quantity": Field("DecimalString", unknown(128, amounts(0, 400))),
        "text": Field("String", words(*names.TEXTS)),
        **owned(listed(2, 3, 4, 5)),
        "account": ref("accounts", pick("accounts"), "Account"),
        "budget": ref("budgets", pick("budgets")),
        "period": ref("periods", _periods, "Period"),
        "glObject1": ref("objects", pick("objects", 12)),
        "glObject2": ref("projects", pick("projects", 128)),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
    },
    lambda sizes: sizes["timesheets"] // 10,
    far(8),
    connection=True,
    sized=True,
    mutable=("amount3", "text"),
    fresh={"createdAt": NOW, "modifiedAt": NOW},
)

EXCHANGE_RATES = Table(
    "exchangeRates",
    "exchangeRate",
    "ExchangeRate",
    {
        "dbId": Field("Int", ids),
        "dateFrom": Field("DateString", assigned),
        "rate": Field("DecimalString", amounts(0, 15, 6)),
        "currency": ref("currencies", listed(*range(2, 9)), "Currency"),
        "currencyDbId": id_of("currency", "currencies"),
        "toCurrency": ref("currencies", always(1), "Currency"),
        "createdAt": Field("DateTimeString", created),
        "modifiedAt": Field("DateTimeString", modified),
        **owned(listed(2, 3, 4, 5)),
    },
    lambda sizes: max(sizes["timesheets"] // 20, 21),
    far(9),
    connection=True,
    sized=True,
    mutable=("rate",),
    fresh={"createdAt": NOW, "modifiedAt": NOW, "dateFrom": TODAY},
)

LISTS = (
    groups("accountGroups", "accountGroup", names.ACCOUNT_GROUPS, "KG{}", 45_001),
    groups("sysAccounts", "sysAccount", ("Kundfordringar", "Leverantörsskulder", "Bank", "Moms"), "SYS{:02}", 45_101),
    codes("processLevels", "processLevel", ("Registered", "Posted", "Archived"), 45_201, 81),
    objects("transactionSources", "transactionSource", names.SOURCES, "{}", 45_301),
    objects("budgets", "budget", ("Budget 2024", "Prognos 1", "Prognos 2"), "B{:02}", 45_401),
)
