"""Accounts receivable and payable: two tables of one shape. Fact sheet 2.8."""

from __future__ import annotations

from postroad.connectors.xledger.simulator import names
from postroad.connectors.xledger.simulator.declare import Field, Table
from postroad.connectors.xledger.simulator.makers import (
    always,
    amounts,
    assigned,
    beside,
    created,
    either,
    ids,
    later,
    modified,
    only_where,
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
from postroad.connectors.xledger.simulator.tables.ledger import dimension, header_table
from postroad.connectors.xledger.simulator.tables.words import codes, far, hidden, id_of, owned, ref


def _transactions(kind: str, parties: str, slots: tuple[int, int], of_timesheets: int) -> tuple[Table, Table]:
    """The transactions with customers or suppliers, and their headers: one for each."""
    name, headers = f"{kind}Transactions", f"{kind}Headers"
    table = Table(
        name,
        name.removesuffix("s"),
        f"{kind.title()}Transaction",
        {**_known(parties, headers, receivable=kind == "ar"), **_more(parties)},
        lambda sizes: max(sizes["timesheets"] // of_timesheets, 20),
        far(slots[0]),
        connection=True,
        sized=True,
        deltas=True,
        mutable=("text", "invoiceRemaining", "paymentDate", "reminderDate"),
        unfiltered=frozenset({"headerCreatedAt", "headerModifiedAt"}),
    )
    return table, header_table(headers, f"{kind}Header", lambda sizes: sizes[name], slots[1])


def _known(parties: str, headers: str, *, receivable: bool) -> dict[str, Field]:
    """The fields that the earlier app read."""
    return {
        "dbId": Field("Int", ids),
        **owned(words(*(2,) * 8, *(3,) * 4, 4, 4, 5, 1)),
        "company": ref("companies", reckoned("subledger", 2, 1 if receivable else 2), "Company"),
        "billAddress": ref("addresses", only_where("hasAddress", reckoned("company", 3, 2), 0), "Address"),
        "account": ref("accounts", pick("accounts"), "Account"),
        "slTransactionType": ref("slTypes", pick("slTypes", 3), "CodeObject"),
        "ledgerType": ref("ledgerTypes", always(1 if receivable else 2), "CodeObject"),
        "glDimension": Field("GlDimension", part=True),
        "invoiceNumber": Field("String", unknown(10, pattern("{:07}", "F{}-Å", 6))),
        "transactionHeader": ref(headers, beside(), "TransactionHeader"),
        "period": ref("periods", via("transactionHeader", "period", 0), "Period"),
        "invoiceDate": Field("DateString", assigned),
        "dueDate": Field("DateString", later("due", 30, 30)),
        "paymentDate": Field("DateString", only_where("paid", later("due", 5, 60))),
        "currency": ref("currencies", words(*(1,) * 10, 2, 3, 4), "Currency"),
        "exchangeRate": Field("DecimalString", words(*("1.00",) * 9, "11.423500000", "0.985", "10.25", "1.000000001")),
        "amount": Field("MoneyString", amounts(-90_000, 400_000)),
        "amount3": Field("MoneyString", same("amount")),
        "amount4": Field("MoneyString", amounts(-9_000, 40_000)),
        "invoiceAmount": Field("MoneyString", same("amount")),
        "invoiceRemaining": Field("MoneyString", either("paid", always("0.00"), same("amount"))),
        "bankAccount": Field("String", words(None, None, None, "5050-1055", "0012-3456", "")),
        "paid": hidden(share(170), kind="Boolean"),
        "hasAddress": hidden(share(220), kind="Boolean"),
        **{f"glObject{n}": hidden(dimension(n), "objects" if n != 2 else "projects") for n in range(1, 6)},
    }


def _more(parties: str) -> dict[str, Field]:
    """What exists besides."""
    return {
        "companyDbId": id_of("company", "companies"),
        "accountDbId": id_of("account", "accounts"),
        "periodId": id_of("period", "periods"),
        "lastPaymentDate": Field("DateString", same("paymentDate")),
        "interestDate": Field("DateString", unknown(200, later("due", 61, 90))),
        "reminderDate": Field("DateString", unknown(180, later("due", 40, 50))),
        "text": Field("String", words(*names.TEXTS)),
        "headerCreatedAt": Field("DateTimeString", created),
        "headerModifiedAt": Field("DateTimeString", modified),
        "headerTransactionSourceDbId": id_of("source", "transactionSources"),
        "matchId": Field("Int", within(1, 60_000, 128)),
        "subledger": ref(parties, pick(parties)),
        "subledgerDbId": id_of("subledger", parties),
        "extIdentifier": Field("String", unknown(128, pattern("{:010}"))),
        "interest": Field("MoneyString", unknown(200, amounts(0, 900))),
        "lateFee": Field("MoneyString", unknown(220, amounts(0, 60))),
        "paymentReference": Field("String", unknown(60, pattern("0{:011}"))),
        "reconciled": Field("Boolean", share(100)),
        "payCode": ref("paymentMethods", pick("paymentMethods", 20), "CodeObject"),
        "paymentStatus": ref("paymentStatuses", pick("paymentStatuses", 4), "CodeObject"),
        "invoiceFile": ref("files", pick("files", 128), "File"),
        "xgl": ref("dimensions", pick("dimensions", 200)),
        "source": hidden(via("transactionHeader", "transactionSource", 0), "transactionSources"),
    }


AR_TRANSACTIONS, AR_HEADERS = _transactions("ar", "customers", (10, 11), 10)
AP_TRANSACTIONS, AP_HEADERS = _transactions("ap", "suppliers", (12, 13), 15)

FILES = Table(
    "files",
    "file",
    "File",
    {
        "dbId": Field("Int", ids),
        "url": Field("String", pattern('https://files.nordvik.example/{:06}?å=1&b="2"')),
    },
    lambda _sizes: 200,
    far(14),
)

LISTS = (
    codes("slTypes", "slType", ("INVOICE", "CREDIT_NOTE", "PAYMENT", "REMINDER"), 46_001, 91),
    codes("paymentStatuses", "paymentStatus", ("OPEN", "PARTLY_PAID", "PAID"), 46_101, 92),
)
