"""Mistakes in a declaration are told when the project is read; patterns match what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from postroad.connectors.files.patterns import matched, unfinished
from postroad.connectors.files.settings import FilesSettings
from postroad.project import init_project, load_project
from tests.unit.files.drops import USUAL

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"files": "../*.csv"}, "leads outside"),
    ({"files": "/drop/*.csv"}, "leads outside"),
    ({"files": "{a}/{a}.csv"}, "names {a} twice"),
    ({"holds": "snapshot", "files": "{a}.csv"}, "needs both, or neither"),
    ({"holds": "snapshot", "scopes": ["a"]}, "needs both, or neither"),
    ({"holds": "snapshot", "files": "{a}/{b}.csv", "scopes": ["x"]}, "at most one"),
    ({"holds": "snapshot", "files": "{a}.csv", "scopes": ["x/y"]}, "cannot be part of a name"),
    ({"holds": "snapshot", "files": "{a}.csv", "scopes": ["x", "x"]}, "twice"),
    ({"scopes": ["a"]}, "only a snapshot has scopes"),
    ({"removed": "empty"}, "only a snapshot"),
    ({"key": ["Nr"]}, "none of the columns: Code, Name, Rate, From"),
    ({"key": ["Code", "Code"]}, "twice"),
    ({"key": ["line"], "line_as": "line"}, "a line alone"),
    ({"encoding": "klingon"}, "is no encoding"),
    ({"encoding": "rot13"}, "is no encoding"),
    ({"delimiter": ",,"}, "delimiter"),
    ({"columns": {"Code": {"type": "text", "round": 2}}}, "only a decimal"),
    ({"columns": {"Code": {"type": "text", "format": "%d"}}}, "only a date"),
    ({"columns": {"Code": {"type": "date", "format": "dd.mm"}}}, "without %d"),
    ({"columns": {"Code": "text", "code": "text"}}, "would both be the column"),
    ({"columns": {"Code": "text", "_x": "text"}}, "reserved"),
    ({"file_as": "code"}, "would both be the column"),
    ({"unknown": 1}, "unknown"),
]


@pytest.mark.parametrize(("dataset", "words"), MISTAKES)
def test_a_mistake_is_told(dataset: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FilesSettings.model_validate({"folder": "/drop", "datasets": {"things": {**USUAL, **dataset}}})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"folder": "drop"}, "no absolute path"),
        ({"folder": "s3://bucket/x"}, "no folder and no prefix"),
        ({"folder": "az://drop"}, "needs its account"),
        ({"folder": "/drop", "account": "acme"}, "has no account"),
        ({"folder": "az://drop", "account": "acme", "account_key": "x", "sas": "y"}, "one of account_key and sas"),
        ({"folder": "/drop", "settle": "soon"}, "settle"),
    ],
)
def test_a_mistake_of_the_connection_is_told_and_shows_no_secret(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FilesSettings.model_validate({"datasets": {"things": USUAL}, **settings})


def test_a_relative_folder_is_below_the_project(tmp_path: Path) -> None:
    init_project(tmp_path, "files")
    settings = load_project(tmp_path).settings("drop")
    assert isinstance(settings, FilesSettings)
    assert settings.folder == str(tmp_path / "drop")


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        ("*.csv", "a.csv", {}),
        ("*.csv", "x/a.csv", None),
        ("**/*.csv", "a.csv", {}),
        ("**/*.csv", "x/y/a.csv", {}),
        ("v_?.csv", "v_1.csv", {}),
        ("v_?.csv", "v_12.csv", None),
        ("p_{company}.csv", "p_se01.csv", {"company": "se01"}),
        ("{company}/{day}.csv", "se01/2026.csv", {"company": "se01", "day": "2026"}),
        ("p_{company}_*.csv", "p_se01_1_2.csv", {"company": "se01"}),
        ("a+(b).csv", "a+(b).csv", {}),
        ("a.csv", "abcsv", None),
    ],
)
def test_patterns(pattern: str, name: str, wanted: dict[str, str] | None) -> None:
    assert matched(pattern, name) == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a.csv", False), ("a.csv.part", True), ("A.TMP", True), (".a.csv", True), (".x/a.csv", True), ("~$a.xlsx", True),
     ("x/a.csv~", True), ("part.csv", False)],
)  # fmt: skip
def test_unfinished_names(name: str, wanted: bool) -> None:
    assert unfinished(name) is wanted
