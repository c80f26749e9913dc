"""How many requests one key may make of this process, and what every answer says about it.

Source: draft-ietf-httpapi-ratelimit-headers-10, `RateLimit-Policy` and `RateLimit`.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

from brimful.errors import Refused

__all__ = ["Quota", "Standing"]

_WINDOW_S = 10
_KEYS_MAX = 10_000


class Standing(NamedTuple):
    """What is left of a key's quota, and for how long."""

    limit: int
    left: int
    reset_s: int

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return (
            (b"ratelimit-policy", b'"key";q=%d;w=%d' % (self.limit, _WINDOW_S)),
            (b"ratelimit", b'"key";r=%d;t=%d' % (self.left, self.reset_s)),
        )


class Quota:
    """Counts requests by key in windows of ten seconds."""

    def __init__(self, per_second: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_second * _WINDOW_S
        self._seconds = seconds
        self._window = 0
        self._used: dict[str, int] = {}

    def take(self, key_id: str) -> Standing:
        """Count one request."""
        window, into = divmod(self._seconds(), _WINDOW_S)
        if window != self._window or len(self._used) > _KEYS_MAX:
            self._window, self._used = int(window), {}
        used = self._used[key_id] = self._used.get(key_id, 0) + 1
        return Standing(self._limit, max(0, self._limit - used), max(1, round(_WINDOW_S - into)))

    def refuse_beyond(self, standing: Standing, key_id: str) -> None:
        """Refuses a request that was one too many."""
        if self._used.get(key_id, 0) > self._limit:
            raise Refused(
                "too_many_requests",
                f"This key has made {self._limit} requests within {_WINDOW_S} s: go on in {standing.reset_s} s.",
                retry_after_s=standing.reset_s,
            )
