"""The addresses of the simulated links: which tables there are, their numbers, and the token of each."""

from __future__ import annotations

import base64
import hashlib

DEFAULT_PORT = 8766
SUBSIDIARIES = ("holding", "north", "south", "coast", "inc")
TABLES = (
    "employee_groups",
    "employment_types",
    "cost_categories",
    "project_cost_setups",
    "cost_element_per_time_type",
    "financial_results",
    *(f"part_time_employees.{name}" for name in SUBSIDIARIES),
)
"""Every link by its table, and behind a point by its subsidiary."""


def number(table: str) -> str:
    """The 15 digits of a link (fact sheet 4.1)."""
    return f"{200_000_000_000_000 + 37 * (TABLES.index(table) + 1)}"


def token(seed: int, generation: int, table: str) -> str:
    """The token of a link: 320 characters of base64url; the simulator's, no secret. A refresh makes new ones."""
    draws = b"".join(hashlib.sha256(f"{seed} {generation} {table} {part}".encode()).digest() for part in range(8))
    return base64.urlsafe_b64encode(draws[:240]).decode()


def path(seed: int, generation: int, table: str, ending: str = "xlsx") -> str:
    """What follows the host."""
    return f"/Flex/{number(table)}.{ending}?t={token(seed, generation, table)}"
