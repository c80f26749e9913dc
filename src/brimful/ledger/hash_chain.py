"""The chain: each entry carries a keyed hash of the entry before it and of itself.

A writer of the database who does not hold the key cannot change, remove or insert an entry
without `verify` naming it. The key lives outside the database; the first byte of a mac names it, so keys
can be rotated.
"""

import datetime as dt
import functools
import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from brimful.core import money
from brimful.core.ids import CustomerId

_DIGEST_BYTES = 16
MAC_BYTES = 1 + _DIGEST_BYTES


class ChainHead(NamedTuple):
    """The end of one account's chain: what the next entry continues."""

    balance: Decimal
    seq: int
    mac: bytes


class Keyring:
    """Signs with one key, the newest unless another is named; recognises with any."""

    def __init__(self, keys: Mapping[int, bytes], signing: int | None = None) -> None:
        self._keys = dict(keys)
        self._newest = max(self._keys) if signing is None else signing

    def lacks(self, mac: bytes) -> int | None:
        """The number of the key that made a mac, if it is none of ours."""
        return mac[0] if len(mac) == MAC_BYTES and not self.has(mac[0]) else None

    def has(self, number: int) -> bool:
        """Whether we hold the key of that number."""
        return number in self._keys

    def sign(self, previous: bytes, content: bytes) -> bytes:
        """The mac of an entry with this content, after the entry with mac `previous` (b"" for the first)."""
        return self._mac(self._newest, previous, content)

    def recognises(self, mac: bytes, previous: bytes, content: bytes) -> bool:
        """Whether `mac` was made for this content at this place."""
        if len(mac) != MAC_BYTES or mac[0] not in self._keys:
            return False
        return hmac.compare_digest(mac, self._mac(mac[0], previous, content))

    def derive(self, purpose: bytes, content: bytes, number: int | None = None) -> tuple[int, bytes]:
        """256 bits that nobody has who lacks the key, for one purpose: always the same for the same content. Returns
        the number of the key as well, by which they can be had again.
        """
        number = self._newest if number is None else number
        digest = hashlib.blake2b(content, digest_size=32, key=self._keys[number], person=purpose)
        return number, digest.digest()

    def _mac(self, number: int, previous: bytes, content: bytes) -> bytes:
        digest = hashlib.blake2b(previous, digest_size=_DIGEST_BYTES, key=self._keys[number])
        digest.update(content)
        return bytes((number,)) + digest.digest()


def message(
    *,
    customer_id: CustomerId,
    asset: str,
    seq: int,
    kind: str,
    amount: Decimal,
    balance_after: Decimal,
    source: str,
    key: str,
    payment_id: str | None,
    money_minor: int | None,
    currency: str | None,
    occurred_at: dt.datetime | None,
    recorded_at: dt.datetime,
    lot: str = "",
) -> bytes:
    """An entry as bytes, each field preceded by its length so that no two entries read the same. `lot` comes last, and
    is empty for most: see `lot_text`.
    """
    number, moved, after = str(seq), money.text(amount), money.text(balance_after)
    payment, minor, code = payment_id or "", "" if money_minor is None else str(money_minor), currency or ""
    then, now = "" if occurred_at is None else _instant(occurred_at), _instant(recorded_at)
    # One literal: this runs for every debit, and a loop over the fields took three times as long.
    return (
        f"{len(customer_id)}:{customer_id}{len(asset)}:{asset}{len(number)}:{number}"
        f"{len(kind)}:{kind}{len(moved)}:{moved}{len(after)}:{after}{len(source)}:{source}{len(key)}:{key}"
        f"{len(payment)}:{payment}{len(minor)}:{minor}{len(code)}:{code}{len(then)}:{then}{len(now)}:{now}{lot}"
    ).encode()


def lot_text(
    lot_seq: int | None,
    purpose: str | None,
    priority: int | None,
    effective_at: dt.datetime | None,
    expires_at: dt.datetime | None,
) -> str:
    """What an entry says about a lot, in the same form; empty for one that says nothing."""
    if lot_seq is None and purpose is None and priority is None and effective_at is None and expires_at is None:
        return ""
    moments = ("" if moment is None else _instant(moment) for moment in (effective_at, expires_at))
    number = "" if lot_seq is None else str(lot_seq)
    fields = (number, purpose or "", "" if priority is None else str(priority), *moments)
    return "".join(f"{len(field)}:{field}" for field in fields)


@functools.lru_cache(maxsize=256)  # the entries of a batch share their moment
def _instant(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="microseconds")
