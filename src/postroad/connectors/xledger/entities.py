"""The eight entities whose changes Xledger tells, as declarations.

Fields: what the earlier app read in any of its versions (fact sheet 2.2 to 2.8), and the two times where the official
sample has them. Types: GraphQL types where they are known; codes are texts, whatever somebody once took them for, and
money is decimal. `exchangeRate` may be a number or a text (2.8), so it is read as either. Ids: 2.1.
"""

from __future__ import annotations

from typing import Literal

from postroad.connectors.xledger.declaration import Declaration, parse_fields


def _declared(
    name: str, deltas: str, fields: str, *, wide: bool = False, changed_at: str | None = None, window: str | None = None
) -> Declaration:
    """One of the eight. The root field is the name; `wide` ids exceed 32 bits and are written as texts."""
    kind: Literal["id64", "int"] = "id64" if wide else "int"
    id_type = "Int64String" if wide else "Int"
    return Declaration(name, name, deltas, parse_fields(fields), kind, id_type, True, changed_at, window)


TIMESHEETS = _declared(
    "timesheets",
    "timesheet_deltas",
    """
    dbId id64, createdAt local_time, modifiedAt local_time, assignmentDate date, workingHours decimal
    isHeaderApproved bool, headerApprovedAt local_time, hourlyRevenueCurrency money
    owner: dbId int, description text, ownerCode int
    employee: dbId int, description text, code text
    activity: code text, description text
    timeType: code text, description text
    project: dbId int, description text, code text
    timesheetStatus.name text
    """,
    wide=True,
    changed_at="modifiedAt",
    window="assignmentDate",
)

PROJECTS = _declared(
    "projects",
    "project_deltas",
    """
    dbId int, description text, code text, shortInfo text, shortInternalInfo text, yourReference text, toDate date
    createdAt local_time, modifiedAt local_time
    customer: dbId int, description text, email text, code text
    customer.address.country.description text
    company: dbId int, description text, companyNumber text, code text, country text
    glObject1: dbId int, description text, code text
    glObject1.objectKind.name text
    projectManager: dbId int, description text
    projectGroup: description text, code text
    projectGroup.levelParent: description text, code text
    projectGroup.levelParent.levelParent: description text, code text
    projectGroup.levelParent.levelParent.levelParent: description text, code text
    flexiFieldsItem.code2: description text, code text
    """,
    changed_at="modifiedAt",
    window="modifiedAt",
)

EMPLOYEES = _declared(
    "employees",
    "employee_deltas",
    """
    dbId int, email text, description text, code text, createdAt local_time, modifiedAt local_time
    employmentFrom date, employmentTo date
    owner: description text, ownerCode int
    positionValue: dbId int, description text, code text
    positionCategory: dbId int, description text, code text
    compensationType: dbId int, description text, code text
    employmentType: description text, code text
    employmentType.owner.description text
    employeeGroup: description text, code text
    contact: firstName text, lastName text, birthday date, age int
    contact.country.description text
    contact.gender.name text
    exitReason: dbId int, description text, code text
    glObject1: dbId int, description text, code text, id text
    superior.description text
    flexiFieldsItem.code1: description text, code text
    flexiFieldsItem.code2: description text, code text
    flexiFieldDate1 date, flexiFieldNumber1 int
    """,
    changed_at="modifiedAt",
    window="modifiedAt",
)

CUSTOMERS = _declared(
    "customers",
    "customer_deltas",
    """
    dbId int, description text, email text, code text, number int, createdAt local_time, modifiedAt local_time
    company: dbId int, description text, email text, name text, companyNumber text, phone text
    company.address: streetAddress text, zipCode text, place text, fullAddress text
    company.billAddress: streetAddress text, zipCode text, place text, fullAddress text
    company.shipAddress: streetAddress text, zipCode text, place text, fullAddress text
    subledgerGroup: dbId int, description text
    accountsPayableAccount: description text, code text
    accountsPayableAccount.accountGroup: description text, code text
    """,
    changed_at="modifiedAt",
    window="modifiedAt",
)

SUPPLIERS = _declared(
    "suppliers",
    "supplier_deltas",
    """
    dbId int, description text, code text, phone text, number int, companyDbId int, bankAccount text, notes text
    modifiedAt local_time
    company: dbId int, companyNumber text
    subledgerGroup: dbId int, description text
    address: dbId int, streetAddress text, zipCode text, place text, fullAddress text
    contact: dbId int, name text
    """,
    changed_at="modifiedAt",
    window="modifiedAt",
)

# No filter by time or date is known for the three kinds of transactions (fact sheet 1.5), so they have no window.
TRANSACTIONS = _declared(
    "transactions",
    "transaction_deltas",
    """
    dbId id64, text text
    owner.description text
    account: description text, code text, descriptionTranslated text
    account.accountGroup: description text, codeTranslated text
    account.sysAccount: description text, codeTranslated text
    company.description text
    company.address.fullAddress text
    glDimension.glObject1: description text, code text
    glDimension.glObject1.objectKind.name text
    glDimension.glObject2: description text, code text
    glDimension.glObject2.objectKind.name text
    currency.code text
    amount money, invoiceAmount money, taxAmount money
    taxRule: description text, code text
    header: postedDate date, trRegNumber int, transactionNumber int
    header.trProcessLevel.name text
    header.transactionSource: description text, code text
    period: description text, fromDate date, toDate date, monthNumber int
    """,
    wide=True,
)

_SUBLEDGER = """
    dbId int, invoiceNumber text, invoiceDate date, dueDate date, paymentDate date, bankAccount text
    owner: description text, ownerCode int
    company: description text, phone text, email text
    company.address: streetAddress text, zipCode text, place text, fullAddress text
    billAddress: streetAddress text, zipCode text, place text, fullAddress text
    account: description text, code text, descriptionTranslated text
    slTransactionType.name text
    ledgerType.name text
    glDimension.glObject1: description text, code text
    glDimension.glObject1.objectKind.name text
    glDimension.glObject2: description text, code text
    glDimension.glObject2.objectKind.name text
    transactionHeader: postedDate date, trRegNumber int, transactionNumber int
    transactionHeader.trProcessLevel.name text
    transactionHeader.transactionSource: description text, code text
    period: description text, fiscalYear int, fromDate date, toDate date, monthNumber int
    currency.code text
    exchangeRate number, amount money, amount3 money, amount4 money, invoiceAmount money, invoiceRemaining money
    """

AR_TRANSACTIONS = _declared("arTransactions", "arTransaction_deltas", _SUBLEDGER)
AP_TRANSACTIONS = _declared("apTransactions", "apTransaction_deltas", _SUBLEDGER)

EIGHT = (
    TIMESHEETS,
    PROJECTS,
    EMPLOYEES,
    CUSTOMERS,
    SUPPLIERS,
    TRANSACTIONS,
    AR_TRANSACTIONS,
    AP_TRANSACTIONS,
)
