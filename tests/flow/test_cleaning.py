"""Cleaning at the delivery: a receiver ends with the rule applied to the table, whatever happened on the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postroad.errors import ConfigError, TransientError
from postroad.project import Cleaning, Delivery
from postroad.project.where import parse_where
from postroad.telemetry import Point
from tests.flow.doomed import Side, Trap
from tests.flow.post import HERE, Post, memory_folder, small_messages
from tests.flow.test_deliveries import failing, refusing
from tests.flow.toy import BOOKS

CLOSED = "text = 'closed'"


def rule(where: str | None = None, **parts: Any) -> Cleaning:
    """A rule as the flow's file gives it."""
    return Cleaning(where=None if where is None else parse_where(where), **parts)


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """Three records make a message; nothing was delivered yet."""
    small_messages(monkeypatch)
    with memory_folder() as folder:
        yield Post(folder)


def cleaned(post: Post, cleaning: Cleaning, start: str = "current") -> None:
    """The delivery under a rule."""
    post.deliveries = (Delivery("toy.books", HERE, start, cleaning),)


def expected(where: str, books: dict[int, str]) -> dict[int, str]:
    """The rows that meet a condition, as SQLite understands it."""
    with sqlite3.connect(":memory:") as database:
        database.execute("pragma case_sensitive_like = on")
        database.execute("create table books (id integer, text text, extra text)")
        database.executemany("insert into books (id, text) values (?, ?)", books.items())
        return dict(database.execute(f"select id, text from books where {where}"))


def test_sequence_17_a_row_that_passes_no_more_is_deleted_there(post: Post) -> None:
    cleaned(post, rule("text = 'open'"))
    post.change({1: "open", 2: "open", 3: "closed"})
    post.deliver()
    assert post.received() == {1: "open", 2: "open"}
    post.change({1: "closed", 3: "open"})
    post.deliver()
    assert post.received() == {2: "open", 3: "open"}
    post.change({1: "open", 2: None})
    post.deliver()
    assert post.received() == {1: "open", 3: "open"}


def test_a_late_message_brings_no_row_back_that_passes_no_more(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delete carries its version: the older row that passed comes after it and changes nothing."""
    small_messages(monkeypatch, 1)
    cleaned(post, rule("text = 'open'"), "beginning")
    post.change({1: "open"})
    post.change({1: "closed"})
    post.dispatch()
    post.look("update messages set due_at = 9e17 where number = 1")
    post.deliver()
    post.look("update messages set due_at = 0")
    post.deliver()
    assert post.received() == {}
    assert post.sql("app", "select id, _deleted from books") == [(1, 1)]


def test_rows_of_the_table_that_do_not_pass_are_never_told_of(post: Post) -> None:
    """The receiver gets no deletes of keys that it cannot have; the message says what became of its rows."""
    post.change({number: "open" if number == 5 else "closed" for number in range(9)})
    cleaned(post, rule("text = 'open'"))
    done = post.deliver()[HERE]
    assert (done.messages, done.records, done.rejected) == (3, 1, 0)
    assert post.sql("app", "select id, _deleted from books") == [(5, 0)]
    assert post.look("select status, reason from messages order by number") == [
        ("discarded", "3 left out by where"),
        ("acknowledged", "1 acknowledged, 2 left out by where"),
        ("discarded", "3 left out by where"),
    ]
    assert post.statuses()[0].lag == 0


def test_columns_are_chosen_renamed_and_added(post: Post) -> None:
    """The key survives `select`, under the name that `rename` gives it; deletes find it there."""
    more = {"company": "se01", "rank": 2, "share": 0.5, "old": False}
    cleaned(post, rule(select=("text",), rename={"id": "number", "text": "title"}, constants=more))
    post.change({1: "one", 2: "two"})
    post.deliver()
    post.change({2: None})
    post.deliver()
    columns = [each[0] for each in post.sql("app", "select name from pragma_table_info('books')")]
    assert columns == ["number", "title", *more, "_changed_at", "_version", "_deleted"]
    found = post.sql("app", "select number, title, company, rank, share, old, _deleted from books order by 1")
    assert found[0] == (1, "one", "se01", 2, 0.5, 0, 0)
    assert (found[1][0], found[1][-1]) == (2, 1)


def test_a_rejection_names_its_record_though_others_are_left_out(post: Post) -> None:
    """Places in a message are those of its rows: the same record is told, shown and sent again."""
    post.change({0: "no", 1: "no", 2: "bad", 3: "good", 4: "no", 5: "bad"})
    cleaned(post, rule("not text = 'no'"))
    post.faults["app"] = refusing("bad")
    post.deliver()
    assert sorted(row["key"] for row in post.rejected()) == ["[2]", "[5]"]
    assert post.received() == {3: "good"}
    numbers = [row["id"] for row in post.rejected()]
    shown = post.do(lambda app: [app.rejections.show(number)["raw"] for number in numbers])
    assert all('"text": "bad"' in each for each in shown)
    post.faults.clear()
    post.do(lambda app: app.rejections.retry(HERE, "deliver"))
    assert post.received() == {2: "bad", 3: "good", 5: "bad"}
    assert not post.rejected()


@pytest.mark.parametrize("changed", [rule("text = 'b'"), rule(select=("text",)), rule(constants={"company": "se01"})])
def test_a_changed_rule_sends_nothing_and_says_what_to_do(post: Post, changed: Cleaning) -> None:
    """Not even what was dispatched under the old one; put back, it goes on and loses nothing."""
    first = rule("text <> 'c'")
    cleaned(post, first)
    post.change({1: "a", 2: "b"})
    post.deliver()
    post.change({3: "b", 4: "c"})
    post.dispatch()
    cleaned(post, changed)
    post.change({5: "b"})
    done = post.deliver()[HERE]
    assert done.messages == 0
    assert "under another select, rename, where or constants: put that back, or name another target" in done.problem
    status = post.statuses()[0]
    assert (status.state, status.lag) == ("changed", 3)
    cleaned(post, replace(first, where=parse_where("text  !=  'c'")))  # the same rule, written otherwise
    post.deliver()
    assert post.received() == {1: "a", 2: "b", 3: "b", 5: "b"}


def test_a_subscription_of_an_earlier_version_goes_on(post: Post) -> None:
    """Its row holds no rule, and it has sent whole rows."""
    post.change({1: "a"})
    post.deliver()
    post.look("update subscriptions set cleaning = null")
    post.change({2: "b"})
    post.deliver()
    assert post.received() == {1: "a", 2: "b"}
    cleaned(post, rule("text = 'b'"))
    assert "name another target" in post.deliver()[HERE].problem


def test_a_rule_that_suits_no_more_pauses_its_subscription(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that came later is called as a constant is: what was dispatched before is kept, and a person told."""
    small_messages(monkeypatch, 1)
    post.gathers = True
    cleaned(post, rule(constants={"pages": "many"}))
    post.change({1: "a", 2: "b"})
    post.dispatch()
    post.declared = replace(BOOKS, schema=pa.schema([*BOOKS.schema, pa.field("pages", pa.int64())]))
    problem = post.deliver()[HERE].problem
    assert "constants: books has a column 'pages' already" in problem
    assert post.look("select status, count(*) from messages group by 1") == [("queued", 2)]
    post.declared = BOOKS
    post.settle()
    assert post.received() == {1: "a", 2: "b"}


def test_a_rule_that_does_not_suit_the_columns_sends_nothing(post: Post) -> None:
    cleaned(post, rule("txet = 'a'"))
    post.change({1: "a"})
    problem = post.deliver()[HERE].problem
    assert "no column 'txet'" in problem
    assert "did you mean 'text'?" in problem
    assert not post.look("select * from messages")


texts = st.sampled_from(["a", "b", "A%", "", "it's"])
tests = st.one_of(
    st.builds("text {} '{}'".format, st.sampled_from(["=", "<>", "<", ">=", "like", "not like"]),
              st.sampled_from(["a", "b", "", "it''s", "A_", "%t%"])),
    st.builds("id {} {}".format, st.sampled_from(["<", "<=", ">", "!=", "="]), st.integers(0, 7)),
    st.sampled_from(["text is null", "text is not null", "text in ('a', 'it''s')", "text not in ('b')", "id in (1,2)",
                     "extra = 'x'", "extra is null", "not extra in ('x')"]),
)  # fmt: skip
wheres = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)
rows = st.dictionaries(st.integers(0, 7), st.none() | texts, min_size=1, max_size=6)
steps = st.lists(
    st.tuples(rows, st.sampled_from(["deliver", "dispatch", "wait", "crash", "refuse", "down"])), min_size=2, max_size=6
)


@settings(max_examples=12, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(wheres, steps, st.sampled_from(["current", "beginning"]))
def test_any_history_ends_with_the_rule_applied_to_the_table(where: str, history: list[Any], start: str) -> None:
    """Any rule, any history, any crash: what the receiver holds is what SQLite selects from the table by the rule."""
    with memory_folder() as folder, pytest.MonkeyPatch.context() as patch:
        small_messages(patch, 2)
        post = Post(folder, gathers=len(history) % 2 == 0)
        cleaned(post, rule(where), start)
        for number, (change, then) in enumerate(history):
            post.change(change)
            post.faults.clear()
            if then in ("refuse", "down"):
                post.faults["app"] = refusing("b") if then == "refuse" else failing(TransientError("down"))
            if then == "dispatch":
                post.dispatch()
            elif then != "wait":
                post.deliver(Trap(Point.MESSAGE_SETTLED, number % 3 + 1, Side.BEFORE) if then == "crash" else None)
        post.settle()
        post.do(lambda app: app.rejections.retry(HERE, "deliver"))
        assert not post.rejected()
        found = post.received() if (folder / "app.db").exists() else {}
        assert found == expected(where, post.books)


def test_check_tells_of_unknown_columns_where_they_stand(tmp_path: Path) -> None:
    """Without network and before the first run, with the line, what there is and what was probably meant."""
    from postroad.cli.checking import steps

    connections = {
        "xledger": {"connector": "xledger", "url": "https://example.org/graphql", "token": "secret://T"},
        "appdb": {"connector": "sql", "url": "secret://D"},
    }
    (tmp_path / "flows").mkdir()
    (tmp_path / ".env").write_text("T=x\nD=sqlite:///app.db\n")
    (tmp_path / "postroad.yaml").write_text(json.dumps({"project": "p", "connections": connections}))
    (tmp_path / "flows" / "a.yaml").write_text(
        "sync:\n  - {from: xledger, entities: [timesheets]}\n"
        "deliver:\n  - dataset: xledger.timesheets\n    to: appdb.hours\n    select: [workingHours,\n"
        "      workingHous]\n"
        "    where: assignmentDate >= 'yesterday'\n    rename: {dbId: id, workingHours: id}\n    constants: {text: x}\n"
    )
    told = [step.sentence for step in steps(tmp_path, None, connect=False) if not step.ok]
    assert [each.split(":")[1] for each in told] == ["7", "9", "9", "8"]
    assert "did you mean 'workingHours'?" in told[0]
    assert "there are: " in told[0]
    assert "another column is called 'id' already" in told[1]
    assert "assignmentDate is date32[day] such as '2026-10-01', which a text here is not" in told[3]


def test_a_rule_is_bound_before_anything_is_sent(post: Post) -> None:
    """A person meets the mistake as a ConfigError with its place, whoever built the delivery."""
    cleaned(post, rule(constants={"text": "x"}))
    with pytest.raises(ConfigError, match="constants: books has a column 'text' already"):
        post.dispatch()
