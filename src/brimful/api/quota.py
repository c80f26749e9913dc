"""How many requests one key may make of this process, and what every answer says about it.

Source: draft-ietf-httpapi-ratelimit-headers-10, `RateLimit-Policy` and `RateLimit`.
"""

import time
from collections.abc import Callable

from brimful.errors import Refused

__all__ = ["Quota"]

_WINDOW_S = 10
_KEYS_MAX = 10_000


class Quota:
    """Counts requests by key in windows of ten seconds. It stands on the hot path."""

    def __init__(self, per_second: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self._limit = per_second * _WINDOW_S
        self._policy = b"ratelimit-policy", b'"key";q=%d;w=%d' % (self._limit, _WINDOW_S)
        self._seconds = seconds
        self._until = 0.0
        self._used: dict[str, int] = {}

    def take(self, key_id: str, state: dict[str, object]) -> None:
        """Count one request, and leave the headers that tell of it in `state["quota"]`. Refuses one too many."""
        now = self._seconds()
        if now >= self._until or len(self._used) > _KEYS_MAX:
            self._until, self._used = now + _WINDOW_S, {}
        used = self._used[key_id] = self._used.get(key_id, 0) + 1
        left, reset_s = self._limit - used, max(1, round(self._until - now))
        state["quota"] = self._policy, (b"ratelimit", b'"key";r=%d;t=%d' % (max(0, left), reset_s))
        if left < 0:
            raise Refused(
                "too_many_requests",
                f"This key has made {self._limit} requests within {_WINDOW_S} s: go on in {reset_s} s.",
                retry_after_s=reset_s,
            )
