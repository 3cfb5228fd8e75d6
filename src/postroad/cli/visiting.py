"""What `postroad demo` uses of other people's: a broker and servers, where environment variables name them.

Nothing is looked for elsewhere: what listens on a usual port may be anybody's. What the demo made there it deletes
again, whatever its end; only a kill leaves it behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from postroad.app import App
from postroad.app.queue import drop_queue
from postroad.errors import PostroadError
from postroad.sdk.demo import Server

PROJECT = "postroad_demo"
QUEUES = f"queues postroad.{PROJECT}.…"
BROKER = "POSTROAD_DEMO_RABBITMQ"
LINE = f"queue: secret://{BROKER}\n"
SETTINGS = "postroad.yaml"
SEEN = "   - "


class Visited(NamedTuple):
    """A server that is used, and where it is."""

    server: Server
    address: str


def servers(offered: Mapping[str, Server]) -> dict[str, Visited]:
    """Those that are named and can be used; tells of each. The examples' variables lead there afterwards."""
    found = {}
    for name, server in offered.items():
        address = os.environ.get(server.variable)
        refusal = server.refusal(address) if address else None
        if not address:
            print(
                f"{SEEN}{server.title}: none is named; {server.variable}={server.like} has some of it delivered there"
            )
        elif refusal:
            print(f"{SEEN}{server.title} at {_place(address)} is left out: {refusal}")
        else:
            found[name] = Visited(server, address)
            os.environ.update(server.variables(address))
            print(f"{SEEN}{server.title} at {_place(address)}: gets some of it, in {server.made}, deleted in the end")
    return found


@contextmanager
def dropped(visited: Mapping[str, Visited]) -> Iterator[None]:
    """In the end nothing of the demo is left on these servers."""
    with ExitStack() as ends:
        for each in visited.values():
            ends.callback(_drop, f"{each.server.made} of {each.server.title}", partial(each.server.drop, each.address))
        yield


@contextmanager
def broker(folder: Path) -> Iterator[None]:
    """A project whose messages go through the broker that is named, if it can be used; tells which it is.

    In the end nothing is left there, and the project has its own database for a queue.
    """
    settings = folder / SETTINGS
    text = re.sub(r"^project: .*", f"project: {PROJECT}", settings.read_text(), count=1, flags=re.MULTILINE)
    settings.write_text(text)
    address = os.environ.get(BROKER)
    if not address:
        print(f"{SEEN}queue: its own database; {BROKER}=amqp://guest:guest@127.0.0.1 has a RabbitMQ hand out messages")
        yield
        return
    settings.write_text(text + LINE)
    with App.open(folder) as app:
        refusals = [each.sentence for each in app.deliveries.check_queue() if not each.ok]
    if refusals:
        settings.write_text(text)
        print(f"{SEEN}queue: its own database; RabbitMQ at {_place(address)} is left out: {refusals[0]}")
        yield
        return
    print(f"{SEEN}RabbitMQ at {_place(address)}: hands out the messages, by {QUEUES}, deleted in the end")
    try:
        yield
    finally:
        with App.open(folder) as app:
            _drop(f"{QUEUES} of RabbitMQ", partial(drop_queue, app))
        settings.write_text(text)


def _drop(what: str, drop: Callable[[], None]) -> None:
    """What cannot be deleted any more is told."""
    try:
        drop()
    except (PostroadError, OSError) as error:
        print(f"not deleted: {what}: {error}")
    else:
        print(f"deleted: {what}")


def _place(address: str) -> str:
    """Host and port, without what signs in."""
    return urlsplit(address).netloc.rpartition("@")[2]
