"""Balance tokens: with one, a browser reads one customer's balances, for minutes, and can do nothing else.

No table holds them. A token carries whose balances it is for and until when, under a key that is derived from the
ledger's: it is good until it ends, on every process, and lives as long as a page needs it.
"""

import base64
import binascii
import dataclasses
import datetime as dt
import hmac

from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.ledger.hash_chain import Keyring

PREFIX = "bbt_"
_PURPOSE = b"balance token"
_CUSTOMER, _END, _MAC = 16, 6, 16  # bytes; the end in seconds since 1970


@dataclasses.dataclass(frozen=True)
class BalanceToken:
    """Whose balances, and until when."""

    customer_id: CustomerId
    expires_at: dt.datetime


def issue(keyring: Keyring, token: BalanceToken) -> str:
    """The token as text: `bbt_`, and the number of the key, the customer, the end and the mac in base64."""
    content = token.customer_id.number + int(token.expires_at.timestamp()).to_bytes(_END)
    number, mac = keyring.derive(_PURPOSE, content)
    return PREFIX + base64.urlsafe_b64encode(bytes((number,)) + content + mac[:_MAC]).decode().rstrip("=")


def read(keyring: Keyring, text: str) -> BalanceToken:
    """What a token says; refuses one that we did not make. Whether it has ended is for the caller to see."""
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX) + "=" * (-len(text.removeprefix(PREFIX)) % 4), b"-_", True)
    except (ValueError, binascii.Error):
        raw = b""
    content, mac = raw[1:-_MAC], raw[-_MAC:]
    if len(raw) != 1 + _CUSTOMER + _END + _MAC or not keyring.has(raw[0]):
        raise Refused("unauthorized", "This is no balance token: make one by POST /v1/balance-tokens.")
    _, expected = keyring.derive(_PURPOSE, content, raw[0])
    if not hmac.compare_digest(mac, expected[:_MAC]):
        raise Refused("unauthorized", "This is no balance token: make one by POST /v1/balance-tokens.")
    end = dt.datetime.fromtimestamp(int.from_bytes(content[_CUSTOMER:]), tz=dt.UTC)
    return BalanceToken(CustomerId.of(content[:_CUSTOMER]), end)
