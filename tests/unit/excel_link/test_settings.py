"""Mistakes in the settings of links, through the project's loader: each by file, line and column, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from postroad.connectors.excel_link.safety import objection
from postroad.errors import ConfigError
from postroad.project import load_project

HEAD = """\
project: acme
connections:
  links:
    connector: excel_link
    tables:
      groups:
"""
LINK = "        link: secret://GROUPS\n"
KEY = "        key: [Code]\n"
COLUMNS = "        columns: {Code: text}\n"
GOOD = LINK + KEY + COLUMNS

# What stands below `groups:` (line 6), the place, the code, and words of the sentence or hint.
MISTAKES: list[tuple[str, str, str, str]] = [
    (GOOD + "        header_row: 0\n", "10:21", "bad-value", "greater than or equal to 1"),
    (GOOD + "        header_row: first\n", "10:21", "wrong-type", "valid integer"),
    (GOOD + "        headerrow: 3\n", "10:9", "unknown-key", "did you mean 'header_row'?"),
    (LINK + KEY + "        columns: {Code: money}\n", "9:25", "bad-value", "'text', 'int', 'decimal', 'date'"),
    (LINK + KEY + "        columns: {Code: {type: int, round: 2}}\n", "9:25", "bad-value", "only a decimal"),
    (
        LINK + KEY + "        columns: {Code: {type: decimal, round: 12}}\n",
        "9:48",
        "bad-value",
        "less than or equal to 9",
    ),
    (LINK + KEY + "        columns: {Code: {type: text, as: _v}}\n", "9:42", "bad-value", "must match pattern"),
    (LINK + KEY + "        columns: {Code: text, code: text}\n", "7:9", "bad-value", "both be the column Code"),
    (LINK + KEY + "        columns: {Code: text, Code: int}\n", "9:31", "duplicate-key", "'Code' is given again"),
    (LINK + COLUMNS, "6:7", "missing-key", "tables.groups.key is missing"),
    (LINK + KEY, "6:7", "missing-key", "tables.groups.columns is missing"),
    (KEY + COLUMNS, "7:9", "bad-value", "needs one of link, file, or links and files"),
    (GOOD.replace("[Code]", "[Kode]"), "7:9", "bad-value", "key names 'Kode', which is none of the columns: Code"),
    (GOOD.replace("[Code]", "[Code, Code]"), "7:9", "bad-value", "key names a column twice"),
    (GOOD.replace("[Code]", "[]"), "8:14", "bad-value", "at least 1 item"),
    (GOOD + "        order: [Name]\n", "7:9", "bad-value", "order lacks the column 'Code'"),
    (GOOD + '        parameters: {p: "{month}"}\n', "7:9", "bad-value", "{month} asks for a period, but there are no"),
    (
        GOOD + '        parameters: {p: "{mnth}"}\n        periods: last 2 months\n',
        "7:9",
        "bad-value",
        "{mnth} stands for nothing; there are {year}, {month}, {period}, {xledger_period}; did you mean {month}?",
    ),
    (GOOD + "        periods: [2026-13]\n", "10:18", "bad-value", "write 2025-01, 2025-01..2025-12"),
    (GOOD + "        every: hourly\n", "10:16", "bad-value", "must match pattern"),
    (GOOD + "        encoding: utf-9\n", "10:19", "bad-value", "is no encoding"),
    (GOOD + "        encoding: rot13\n", "10:19", "bad-value", "is no encoding of text"),
    (
        "        links: {north: secret://A, north: secret://B}\n" + KEY + COLUMNS,
        "7:36",
        "duplicate-key",
        "'north' is given again; it stands on line 7 already",
    ),
    (
        "        links: {north: secret://A}\n        files: {north: /x.csv}\n" + KEY + COLUMNS,
        "7:9",
        "bad-value",
        "a name stands under links and files both",
    ),
    ("        files: {'no rth': /x.csv}\n" + KEY + COLUMNS, "7:17", "bad-value", "must match pattern"),
    ("        file: data/groups.csv\n" + KEY + COLUMNS, "7:15", "bad-value", "is no absolute path"),
    ("        link: http://far.test/x.xlsx\n" + KEY + COLUMNS, "4:5", "bad-value", "use https://, or set allow_http"),
    ("        link: ftp://far.test/x.xlsx\n" + KEY + COLUMNS, "4:5", "bad-value", "for a file set `file` instead"),
    ('        link: "https://[far/x.xlsx"\n' + KEY + COLUMNS, "4:5", "bad-value", "names no host: copy it again"),
    (GOOD + "    redirect_hosts: ['https://cdn.test']\n", "10:21", "bad-value", "holds something that is no host"),
    (GOOD + "    time_zone: Oslo\n", "10:16", "bad-value", "write one such as Europe/Oslo"),
    (GOOD + "    most_cells: 0\n", "10:17", "bad-value", "greater than or equal to 1"),
]


@pytest.mark.parametrize(("text", "place", "code", "words"), MISTAKES)
def test_a_mistake_is_told_by_its_place(tmp_path: Path, text: str, place: str, code: str, words: str) -> None:
    (tmp_path / "postroad.yaml").write_text(HEAD + text)
    with pytest.raises(ConfigError) as raised:
        load_project(tmp_path)
    (mistake,) = raised.value.mistakes
    assert str(mistake).startswith(f"postroad.yaml:{place} {code} ")
    assert words in str(mistake)
    assert "far.test" not in str(mistake), "a link is a secret, wherever it stands"


def test_all_mistakes_of_two_tables_are_told_at_once(tmp_path: Path) -> None:
    other = "      rates:\n" + (GOOD + "        header_row: 0\n").replace("[Code]", "Code")
    (tmp_path / "postroad.yaml").write_text(HEAD + LINK + KEY + "        columns: {Code: txt}\n" + other)
    with pytest.raises(ConfigError) as raised:
        load_project(tmp_path)
    assert [(each.line, each.column) for each in raised.value.mistakes] == [(9, 25), (14, 21)]


@pytest.mark.parametrize(
    ("link", "allow_http", "allowed"),
    [
        ("https://far.test/x", False, True),
        ("HTTPS://far.test/x", False, True),
        ("http://far.test/x", False, False),
        ("http://far.test/x", True, True),
        ("http://127.0.0.1:8766/x", False, True),
        ("http://[::1]/x", False, True),
        ("http://localhost/x", False, True),
        ("http://localhost.far.test/x", False, False),
        ("http://127.0.0.1.far.test/x", False, False),
        ("file:///etc/passwd", True, False),
        ("https:///x", True, False),
    ],
)
def test_only_this_machine_is_asked_over_http(link: str, *, allow_http: bool, allowed: bool) -> None:
    assert (objection(link, allow_http=allow_http) is None) == allowed
