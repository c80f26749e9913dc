"""Credits that begin later. They are no entries yet; their keys are taken all the same."""

import dataclasses
import datetime as dt
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from brimful.core import money
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Texts
from brimful.db.pool import Tx
from brimful.ledger.accounts import AccountKey
from brimful.ledger.hash_chain import Keyring
from brimful.ledger.lots import Purpose, Terms


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """A credit that is no entry yet. Its key is taken."""

    customer_id: CustomerId
    key: str
    asset: str
    amount: Decimal
    purpose: Purpose
    priority: int
    effective_at: dt.datetime
    expires_at: dt.datetime | None
    description: str | None
    metadata: Mapping[str, Any] | None
    created_at: dt.datetime
    mac: bytes = b""

    def signed(self, keyring: Keyring) -> "Scheduled":
        """The same with its mac: nobody without the ledger's key can plan a credit. What somebody wrote is not in it,
        because it is forgotten with its customer.
        """
        return dataclasses.replace(self, mac=keyring.sign(b"scheduled", self._content()))

    def genuine(self, keyring: Keyring) -> bool:
        """Whether the ledger's key signed it."""
        return keyring.recognises(bytes(self.mac), b"scheduled", self._content())

    def _content(self) -> bytes:
        moments = ("" if at is None else at.isoformat() for at in (self.effective_at, self.expires_at, self.created_at))
        amount = money.text(self.amount)
        return "\x1f".join(
            (self.customer_id, self.key, self.asset, amount, self.purpose, str(self.priority), *moments)
        ).encode()

    @property
    def terms(self) -> Terms:
        return Terms(self.purpose, self.priority, self.effective_at, self.expires_at)


_names = ", ".join(field.name for field in dataclasses.fields(Scheduled))
_SCHEDULE = """
    INSERT INTO scheduled_credits (customer_id, key, asset, amount, purpose, priority, effective_at, expires_at,
        description, metadata, created_at, mac)
    VALUES (%(customer_id)s, %(key)s, %(asset)s, %(amount)s, %(purpose)s, %(priority)s, %(effective_at)s,
        %(expires_at)s, %(description)s, %(metadata)s, %(created_at)s, %(mac)s)
"""
_OF_ACCOUNT = f"""
    SELECT {_names} FROM scheduled_credits WHERE customer_id = %s AND asset = %s ORDER BY effective_at, key
"""
_BY_KEYS = f"SELECT {_names} FROM scheduled_credits WHERE customer_id = ANY(%s) AND key = ANY(%s)"
_BEGUN = "DELETE FROM scheduled_credits WHERE customer_id = %s AND key = %s"


def write(tx: Tx, credit: Scheduled) -> None:
    """Write a credit that begins later, at the latest before the commit. The caller has looked for its key."""
    metadata = None if credit.metadata is None else Jsonb(dict(credit.metadata))
    tx.later(_SCHEDULE, {**dataclasses.asdict(credit), "metadata": metadata}, rows=1)


async def list_for(tx: Tx, key: AccountKey) -> list[Scheduled]:
    """Those of one account, the next one first."""
    return [Scheduled(**row) for row in await tx.all(_OF_ACCOUNT, key)]


async def by_keys(tx: Tx, wanted: Collection[tuple[CustomerId, str]]) -> list[Scheduled]:
    """Those under these (customer, key)."""
    customers, keys = CustomerIds(one[0] for one in wanted), Texts(one[1] for one in wanted)
    found = [Scheduled(**row) for row in await tx.all(_BY_KEYS, (customers, keys))]
    return [one for one in found if (one.customer_id, one.key) in wanted]


def forget(tx: Tx, credit: Scheduled) -> None:
    """It has become an entry, or will not."""
    tx.later(_BEGUN, (credit.customer_id, credit.key), rows=1)
