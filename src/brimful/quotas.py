"""Quotas: how many requests one name (a key, an address) may make of this process within ten seconds."""

import ipaddress
import time
from collections.abc import Callable

__all__ = ["WINDOW_S", "Quota", "neighbourhood"]

WINDOW_S = 10
_NAMES_MAX = 10_000
_HOUSEHOLD = 64  # bits: what one customer of a provider is given, RFC 6177


class Quota:
    """Counts by name in windows of ten seconds. It stands on the hot path."""

    def __init__(self, per_second: int, seconds: Callable[[], float] = time.monotonic) -> None:
        self.limit = per_second * WINDOW_S
        self._seconds = seconds
        self._until = 0.0
        self._used: dict[str, int] = {}

    def take(self, name: str) -> tuple[int, int]:
        """Count one. Returns how many are left, below zero for one too many, and in how many seconds all are again."""
        now = self._seconds()
        if now >= self._until or len(self._used) > _NAMES_MAX:
            self._until, self._used = now + WINDOW_S, {}
        used = self._used[name] = self._used.get(name, 0) + 1
        return self.limit - used, max(1, round(self._until - now))


def neighbourhood(address: str) -> str:
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
