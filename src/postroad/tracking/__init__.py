"""The project's books: runs, feeds, walks, payloads, files, rejections, messages, leases; all moves of status."""

from postroad.tracking.tracking import Tracking

__all__ = ["Tracking"]
