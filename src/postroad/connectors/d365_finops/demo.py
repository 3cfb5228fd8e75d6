"""The part of Finance & Operations in `postroad demo`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from postroad.sdk.demo import Deed, Demo, Question, Sent

COMPANY = "usmf"
DONE = {
    "VendorsV2": (3, 12, 5),
    "CustomersV3": (2, 8, 4),
    "ReleasedProductsV2": (1, 6, 3),
    "PurchaseOrderHeadersV2": (4, 20, 10),
}
"""By entity how many rows of a company are deleted, changed and new."""

GONE = Question(
    "What no export of Finance & Operations ever tells: rows that were deleted, found by reading all keys",
    """\
SELECT dataAreaId AS company, VendorAccountNumber AS vendor, _op AS what, make_timestamp(_version) AS found
FROM finops.VendorsV2_changes
WHERE _op = 'delete' ORDER BY ALL LIMIT 5""",
)


def _introduction(rows: int) -> str:
    orders = _sizes(rows)["purchase-orders"]
    return (
        f"Finance & Operations: {orders:,} purchase orders, vendors, customers and products, in packages; 2 companies"
    )


def _sizes(rows: int) -> Mapping[str, int]:
    """Those of the first company; the other has half of them."""
    some = max(20, rows // 20)
    return {"vendors": some, "customers": some, "products": some, "purchase-orders": 2 * some}


def _options(rows: int) -> list[str]:
    sizes = [word for name, size in _sizes(rows).items() for word in (f"--{name}", str(size))]
    return ["--companies", f"{COMPANY},demf", "--export-seconds", "0", *sizes]


def _variables(address: str) -> Mapping[str, str]:
    return {"FO_URL": address, "FO_SIGN_IN_URL": address}


def _deeds() -> Iterator[Deed]:
    """Deletes first, then changes, then what is new: each finds rows that none before it has touched."""
    calls: tuple[tuple[int, Literal["deleted", "changed", "new"], str, str], ...] = (
        (0, "deleted", "delete", "which"),
        (1, "changed", "mutate", "n"),
        (2, "new", "add", "n"),
    )
    for place, what, call, argument in calls:
        for entity, counts in DONE.items():
            arguments = {argument: counts[place], "entity": entity, "company": COMPANY}
            yield Deed(entity, what, counts[place], call, arguments)


SENT = (
    Sent("VendorsV2", "vendors", shared=True),
    Sent("PurchaseOrderHeadersV2", "orders", ("constants: {system: erp}",)),
)
DEMO = Demo(3, _introduction, _options, _variables, tuple(_deeds()), (GONE,), SENT)
