"""The project's books: runs, feeds, walks, payloads, files, rejections, leases; all moves of their statuses."""

from postroad.tracking.tracking import Tracking

__all__ = ["Tracking"]
