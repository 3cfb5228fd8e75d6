"""Tokens and the three limits of the remote system (fact sheet 1.1 and 1.3)."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime

from postroad.connectors.xledger.simulator import mistakes
from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.pages import local_time
from postroad.connectors.xledger.simulator.switches import Switches


class Gate:
    """Lets requests in, or refuses them; thread safe."""

    def __init__(self, token: str) -> None:
        self.tokens: dict[str, str] = {token: "valid"}
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()
        self._inside = 0
        self._spent = 0
        self._reset_at = 0.0

    def authorise(self, header: str | None) -> None:
        """Check the `Authorization` header; messages beyond the first are not known and our own words."""
        word, _, token = (header or "").partition(" ")
        if word != "token" or not token or " " in token:
            raise RefusedError(mistakes.BAD_FORMAT)
        state = self.tokens.get(token)
        if state is None:
            raise RefusedError("The API token is not valid.")
        if state == "expired":
            raise RefusedError("The API token has expired.")

    def set_token(self, token: str, state: str) -> dict[str, str]:
        """Let a token be `valid`, `expired` or `unknown`; the states of all tokens."""
        with self._lock:
            if state == "unknown":
                self.tokens.pop(token, None)
            elif state in {"valid", "expired"}:
                self.tokens[token] = state
            else:
                raise ValueError("a token is 'valid', 'expired' or 'unknown'")
            return dict(self.tokens)

    def rotate(self, token: str, old: str) -> None:
        """Let a token be valid and those that were be `expired` or `unknown`."""
        if old not in {"expired", "unknown"}:
            raise ValueError("an old token becomes 'expired' or 'unknown'")
        for valid in [each for each, state in self.tokens.items() if state == "valid" and each != token]:
            self.set_token(valid, old)
        self.set_token(token, "valid")

    def forget_tokens(self) -> None:
        """Let no token be known."""
        with self._lock:
            self.tokens.clear()

    def enter(self, switches: Switches, now: float) -> None:
        """Count one request against the limits; it is inside until `leave`."""
        with self._lock:
            self._check(switches, now)
            self._inside += 1

    def leave(self) -> None:
        """One request has been answered."""
        with self._lock:
            self._inside -= 1

    def credits(self, switches: Switches, now: float) -> dict[str, object]:
        """What is left of the credits, and when they are renewed."""
        with self._lock:
            self._renew(switches, now)
            left = None if switches.credits is None else switches.credits - self._spent
            return {"left": left, "resetAt": reset_text(self._reset_at, switches)}

    def refill(self) -> None:
        """Renew the credits now."""
        with self._lock:
            self._reset_at = 0.0

    def _check(self, switches: Switches, now: float) -> None:
        while self._recent and self._recent[0] <= now - switches.burst_seconds:
            self._recent.popleft()
        if switches.burst is not None and len(self._recent) >= switches.burst:
            raise mistakes.limit(mistakes.BURST)
        if switches.concurrency is not None and self._inside >= switches.concurrency:
            raise mistakes.limit(mistakes.CONCURRENCY)
        self._renew(switches, now)
        if switches.credits is not None and self._spent >= switches.credits:
            raise mistakes.limit(mistakes.CREDITS, resetAt=reset_text(self._reset_at, switches))
        self._recent.append(now)
        self._spent += 1

    def _renew(self, switches: Switches, now: float) -> None:
        if now >= self._reset_at:
            self._spent = 0
            self._reset_at = now + switches.credits_seconds


def reset_text(moment: float, switches: Switches) -> str | int:
    """A time in the form of `extensions.resetAt`, which is not known."""
    if switches.reset_format == "epoch":
        return int(moment)
    if switches.reset_format == "local":
        return local_time(moment)
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
