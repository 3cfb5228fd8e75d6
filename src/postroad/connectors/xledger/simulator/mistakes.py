"""The errors that the remote system answers with: their codes and messages are those of fact sheet 1.2."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

BAD_FORMAT = 'Bad format for API Token. Expected header: "Authorization: token <your-token>"'
BURST = "BAD_REQUEST.BURST_RATE_LIMIT_REACHED"
CREDITS = "BAD_REQUEST.INSUFFICIENT_CREDITS"
CONCURRENCY = "BAD_REQUEST.CONCURRENCY_LIMIT_REACHED"

MESSAGES = {
    BURST: "Too many requests in the last 5 seconds.",
    CREDITS: "Insufficient credits.",
    CONCURRENCY: "Too many requests.",
}


class RefusedError(Exception):
    """The request, or one root field of it, is answered with this error."""

    def __init__(self, message: str, code: str | None = None, /, **extensions: Any) -> None:
        self.code = code
        self.extensions = extensions
        super().__init__(message)

    def as_json(self, path: str | None = None) -> Json:
        """The entry of `errors`: `code` stands beside `message`."""
        entry: Json = {"message": str(self)}
        if self.code:
            entry["code"] = self.code
            entry["extensions"] = {"code": self.code, **self.extensions}
        elif self.extensions:
            entry["extensions"] = self.extensions
        return entry if path is None else entry | {"path": [path]}


def limit(code: str, **extensions: Any) -> RefusedError:
    """The error of one of the three limits."""
    return RefusedError(MESSAGES[code], code, **extensions)
