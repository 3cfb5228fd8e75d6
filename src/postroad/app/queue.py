"""The queue of a project, opened, and how its broker is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from postroad.errors import ConfigError, QueueError
from postroad.records import Check
from postroad.tracking.queue import Queue

if TYPE_CHECKING:
    from postroad.app.app import App
    from postroad.engine.brokered import Broker

EXTRA = "queue: a broker needs one more library: pip install pika"


@dataclass(frozen=True)
class QueueStatus:
    """How the broker is: `problem` says why it does not answer. The lengths are of the queues that a person looks at.

    `dead` counts messages that the broker gave up and that no worker has taken back yet, `refused` what came in and is
    no message of ours.
    """

    problem: str | None = None
    dead: int = 0
    refused: int = 0
    refused_queue: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def open_queue(app: App) -> Queue:
    """The queue as one worker uses it, who closes it."""
    if app.project.queue is None:
        return app.tracking.queue
    broker = _broker(app)
    from postroad.engine.brokered import BrokeredQueue
    from postroad.tracking.published import Published

    return BrokeredQueue(app.tracking.queue, Published(app.tracking.database), broker, app.reporter.say)


def check_queue(app: App) -> Iterator[Check]:
    """Reach the broker and declare what is missing there."""
    if app.project.queue is None:
        return
    try:
        broker = _broker(app)
        broker.line().close()
    except (ConfigError, QueueError) as error:
        yield Check("queue", False, str(error))
        return
    queues = len(broker.topology.subscriptions)
    yield Check("queue", True, f"the broker answers; {queues} queues of deliveries are declared")


def drop_queue(app: App) -> None:
    """Delete what the project has on its broker. Nothing is lost: what waits is in the database."""
    topology = _broker(app).topology
    from postroad.wire.address import parameters
    from postroad.wire.topology import drop

    assert app.project.queue is not None
    drop(parameters(app.project.queue.reveal(), topology.exchange), topology)


def queue_status(app: App) -> QueueStatus | None:
    """How the broker is; None for a project without one."""
    if app.project.queue is None:
        return None
    try:
        topology = _broker(app).topology
        from postroad.wire.address import parameters
        from postroad.wire.topology import lengths

        found = lengths(parameters(app.project.queue.reveal(), topology.exchange), [topology.dead, topology.refused])
    except (ConfigError, QueueError) as error:
        return QueueStatus(str(error))
    return QueueStatus(None, found[topology.dead] or 0, found[topology.refused] or 0, topology.refused)


def _broker(app: App) -> Broker:
    try:
        from postroad.engine.brokered import Broker
        from postroad.engine.notices import source_of
        from postroad.wire.topology import Topology
    except ImportError as error:
        raise ConfigError(EXTRA) from error
    project = app.project
    assert project.queue is not None
    topology = Topology(project.name, project.environment, [each.to for each in project.deliveries])
    return Broker(project.queue, topology, source_of(project.name, project.environment))
