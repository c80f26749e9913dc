"""Rate limits: requests of one name (a key, an address) within ten seconds, over all processes together."""

import collections
import hashlib
import ipaddress
import time
from collections.abc import Callable, Mapping

WINDOW_S = 10
_NAMES_MAX = 10_000
_HOUSEHOLD = 64  # bits: what one customer of a provider is given, RFC 6177


class RateLimit:
    """Counts by name in windows of ten seconds. It stands on the hot path, so it asks nobody: what other processes have
    counted is set from outside (`brimful.web.rate_limit_sync`), which also reads its own counts.

    Args:
        per_second: requests, on average over a window.
        kind: of the names; limits of one kind count together.
        seconds: a clock that only goes forward.
    """

    def __init__(self, per_second: int, kind: str = "", seconds: Callable[[], float] = time.monotonic) -> None:
        self.limit = per_second * WINDOW_S
        self.kind = kind
        self._seconds = seconds
        self._ahead_s = 0.0  # of the clock that all share
        self._window = 0
        self._used: dict[str, int] = {}
        self._others: Mapping[str, int] = {}
        self._sent: collections.Counter[str] = collections.Counter()

    def take(self, name: str) -> tuple[int, int]:
        """Count one. Returns how many are left, below zero for one too many, and in how many seconds all are again."""
        now = self._seconds() + self._ahead_s
        window = int(now // WINDOW_S)
        if window != self._window or len(self._used) > _NAMES_MAX:
            self._begin(window)
        used = self._used[name] = self._used.get(name, 0) + 1
        left = self.limit - used - self._others.get(name, 0)
        return left, max(1, round((window + 1) * WINDOW_S - now))

    def _begin(self, window: int) -> None:
        self._window, self._used, self._others = window, {}, {}
        self._sent.clear()

    # --- together with other processes -------------------------------------------------------------------------------

    def unsent(self) -> tuple[int, dict[str, int]]:
        """The window, and what was counted in it since this was asked last."""
        new = {name: used - self._sent[name] for name, used in self._used.items() if used > self._sent[name]}
        self._sent.update(new)
        return self._window, new

    def learn(self, window: int, totals: Mapping[str, int]) -> None:
        """Set what all had counted in that window, including what was sent from here."""
        if window == self._window:
            self._others = {**self._others, **{name: total - self._sent[name] for name, total in totals.items()}}

    def set_clock(self, shared_s: float) -> None:
        """What the clock that all share shows now; windows begin by it."""
        self._ahead_s = shared_s - self._seconds()

    def hashed(self, name: str) -> bytes:
        """A name as it is shared: addresses are not written down."""
        return hashlib.blake2b(f"{self.kind}\n{name}".encode(), digest_size=16).digest()


def network_of(address: str) -> str:
    """What is counted as one address: an IPv4 address, or the /64 of an IPv6 one, all of which its holder may use."""
    try:
        there = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(there, ipaddress.IPv4Address):
        return str(there)
    if there.ipv4_mapped is not None:
        return str(there.ipv4_mapped)
    return str(ipaddress.ip_network((there, _HOUSEHOLD), strict=False))
