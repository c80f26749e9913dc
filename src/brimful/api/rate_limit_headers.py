"""What every answer says about its key's rate limit.

Source: draft-ietf-httpapi-ratelimit-headers-10, `RateLimit-Policy` and `RateLimit`.
"""

import time
from collections.abc import Callable

from brimful.core.errors import Refused
from brimful.web import rate_limit


class KeyRateLimit:
    """The requests of each key, counted. It stands on the hot path."""

    def __init__(self, per_second: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self.rate_limit = rate_limit.RateLimit(per_second, "key", seconds)
        self._policy = b"ratelimit-policy", b'"key";q=%d;w=%d' % (self.rate_limit.limit, rate_limit.WINDOW_S)

    def take(self, key_id: str, state: dict[str, object]) -> None:
        """Count one request, and leave its headers in `state["rate_limit"]`. Refuses one too many."""
        left, reset_s = self.rate_limit.take(key_id)
        state["rate_limit"] = self._policy, (b"ratelimit", b'"key";r=%d;t=%d' % (max(0, left), reset_s))
        if left < 0:
            raise Refused(
                "too_many_requests",
                f"This key has made {self.rate_limit.limit} requests within {rate_limit.WINDOW_S} s: "
                f"go on in {reset_s} s.",
                retry_after_s=reset_s,
            )
