"""The exception tree; each class names what its catcher does next.

PostroadError
├── ConfigError          a person edits the project; all mistakes are listed at once
├── RemoteError          the remote system answered something that we cannot use: stop this feed, tell someone
│   ├── TransientError       certainly not applied: the same request again, later
│   │   └── ThrottledError   again after `wait` seconds, for the whole budget
│   ├── BatchRefusedError    one record spoiled the call: nothing was applied, send the halves
│   ├── OutcomeUnknownError  the answer never came: hold the message, never repeat it blindly
│   ├── AuthError            pause the connection, tell someone
│   ├── CursorExpiredError   forget these entities' positions and refresh them fully
│   └── EntitiesFailedError  some entities of a feed failed; the others are complete
├── MessageError         what came over a wire is no message that we read: park it where a person sees it
├── QueueError           the broker did not answer: the same call again, in `wait` seconds; nothing is lost meanwhile
├── DatabaseError        the project's database did not answer: the same call again, later
├── LakeError            the object store that holds the lake did not answer: the same command again, later
├── StoppedError         somebody asked the process to end: stop in order, call again to go on
└── StateError           a second writer, a lost claim or a bug: stop, change nothing
    ├── LostClaimError       our claim ended while we worked: drop the work, a newer holder has it
    ├── BusyError            somebody else holds the claim or lease: come back after `until`
    └── WaitingError         the run waits for the remote system: come back after `until`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


class PostroadError(Exception):
    """Base of every error that Postroad raises on purpose."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a project file: where it is, what is wrong, what to do. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    code: str
    sentence: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f"; {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column} {self.code} {self.sentence}{tail}"


class ConfigError(PostroadError):
    """The project or a command is wrong; a person edits. Carries every mistake that was found."""

    def __init__(self, message: str = "", mistakes: Sequence[Mistake] = ()) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(message or "\n".join(str(mistake) for mistake in self.mistakes))


class RemoteError(PostroadError):
    """The remote system answered something that we cannot use; nothing of it was kept."""


class TransientError(RemoteError):
    """The request certainly had no effect; the same request may be sent again."""


class ThrottledError(TransientError):
    """The remote system, or our own budget for it, asks for a pause of `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        self.wait = wait
        super().__init__(message)


class NotReadyError(ThrottledError):
    """The remote system still prepares what this feed asked for: come back later, others go on meanwhile."""


class BatchRefusedError(RemoteError):
    """The receiver refused a whole package because of some record in it and applied nothing; send smaller ones."""


class OutcomeUnknownError(RemoteError):
    """The receiver's answer never came, and sending the same again might do it twice; find out before that."""


class AuthError(RemoteError):
    """The remote system refused our credentials; a person renews them."""


class CursorExpiredError(RemoteError):
    """The positions of these entities can no longer be trusted: forget them, refresh the entities fully.

    `foreign` says that the endpoint, tenant or scope is another one than the position was taken in.
    """

    def __init__(self, message: str, entities: Sequence[str], *, foreign: bool = False) -> None:
        self.entities = tuple(entities)
        self.foreign = foreign
        super().__init__(message)


class EntitiesFailedError(RemoteError):
    """These entities of a feed failed, each with its cause; all the others were read to their head."""

    def __init__(self, causes: Mapping[str, Exception]) -> None:
        self.causes = dict(causes)
        super().__init__("; ".join(f"{name}: {cause}" for name, cause in self.causes.items()))


class MessageError(PostroadError):
    """What came over a wire is no message that we read. The sentence says why and quotes nothing of it."""


class QueueError(PostroadError):
    """The broker did not answer; every message is in the database and is published when it does.

    It is asked again in `wait` seconds.
    """

    def __init__(self, message: str, wait: float = 0.0) -> None:
        self.wait = wait
        super().__init__(message)


class StoppedError(PostroadError):
    """Somebody asked the process to end; call again to go on."""


class DatabaseError(PostroadError):
    """The project's database did not answer; nothing was written and the same call may be made again."""


class LakeError(PostroadError):
    """The object store that holds the lake did not answer; what it had answered before is durable.

    Whether the last call had its effect is not known; the same command finds out and goes on from there.
    """


class StateError(PostroadError):
    """What is stored contradicts what we expect: a second writer or a bug; stop and change nothing."""


class LostClaimError(StateError):
    """Our claim or lease ended while we worked; whoever holds it now continues."""


class BusyError(StateError):
    """Somebody else holds the claim or lease until `until` (UTC)."""

    def __init__(self, message: str, until: datetime) -> None:
        self.until = until
        super().__init__(message)


class WaitingError(StateError):
    """The run waits until `until` (UTC) because the remote system, or our budget for it, asked for a pause."""

    def __init__(self, message: str, until: datetime) -> None:
        self.until = until
        super().__init__(message)
