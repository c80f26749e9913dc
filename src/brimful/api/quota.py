"""What every answer says about its key's quota.

Source: draft-ietf-httpapi-ratelimit-headers-10, `RateLimit-Policy` and `RateLimit`.
"""

import time
from collections.abc import Callable

from brimful import quotas
from brimful.errors import Refused

__all__ = ["KeyQuota"]


class KeyQuota:
    """The requests of each key, counted. It stands on the hot path."""

    def __init__(self, per_second: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self.quota = quotas.Quota(per_second, "key", seconds)
        self._policy = b"ratelimit-policy", b'"key";q=%d;w=%d' % (self.quota.limit, quotas.WINDOW_S)

    def take(self, key_id: str, state: dict[str, object]) -> None:
        """Count one request, and leave the headers that tell of it in `state["quota"]`. Refuses one too many."""
        left, reset_s = self.quota.take(key_id)
        state["quota"] = self._policy, (b"ratelimit", b'"key";r=%d;t=%d' % (max(0, left), reset_s))
        if left < 0:
            raise Refused(
                "too_many_requests",
                f"This key has made {self.quota.limit} requests within {quotas.WINDOW_S} s: go on in {reset_s} s.",
                retry_after_s=reset_s,
            )
