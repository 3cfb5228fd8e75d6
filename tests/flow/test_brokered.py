"""Deliveries whose messages come from a broker, with faults on both of its sides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flow.post import Post, memory_folder, small_messages
from tests.rabbitmq import Broker


@pytest.fixture
def post(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    small_messages(monkeypatch)
    with memory_folder() as folder:
        made = Post(folder, queue=broker.url)
        made.change({number: f"book {number}" for number in range(1, 8)})
        yield made


def test_every_change_arrives_over_the_broker(post: Post, broker: Broker) -> None:
    assert post.deliver()["app.books"].messages == 3
    post.assert_law()
    post.change({1: None, 2: "changed", 9: "new"})
    post.deliver()
    post.assert_law()
    assert post.said == []
