"""Customers, and the aliases by which their things are found."""

import dataclasses
import datetime as dt
import re
import zoneinfo
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg.errors
from psycopg.types.json import Jsonb

from brimful.core import ids, text
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Query, Row, Tx

_STRIPE_ID = re.compile(r"cus_[A-Za-z0-9_]{1,250}", re.ASCII)


EXTERNAL = "external_id:"  # what begins a name that is the caller's own


@dataclasses.dataclass(frozen=True)
class Customer:
    """One of the platform's customers."""

    customer_id: CustomerId
    external_id: str | None
    name: str
    email: str | None
    time_zone: str
    metadata: Mapping[str, Any]
    external_accounts: Sequence[Mapping[str, str]]
    stripe_customer_id: str | None
    created_at: dt.datetime
    locale: str | None = None  # the language last chosen in the portal
    erased_at: dt.datetime | None = None


_INSERT = """
    INSERT INTO customers (customer_id, external_id, name, email, time_zone, metadata, external_accounts, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""


async def create(
    tx: Tx,
    *,
    name: str,
    external_id: str | None = None,
    email: str | None = None,
    time_zone: str = "UTC",
    metadata: Mapping[str, Any] | None = None,
    external_accounts: Sequence[Mapping[str, str]] = (),
) -> Customer:
    """A new customer. Refuses an external id that another customer has."""
    customer = Customer(
        ids.new_customer(), external_id, text.clean(name, "name"), email, _zone(time_zone), metadata or {},
        external_accounts, None, await tx.now(),
    )  # fmt: skip
    await tx.execute(
        _INSERT,
        (
            customer.customer_id, external_id, customer.name, email, time_zone, Jsonb(dict(customer.metadata)),
            Jsonb(list(external_accounts)), customer.created_at,
        ),
    )  # fmt: skip
    if external_id is not None:
        await _claim_external(tx, external_id, customer.customer_id)
    stripe_id = stripe_account(external_accounts)
    if stripe_id is not None:
        await _adopt(tx, customer.customer_id, stripe_id)
    return customer


def stripe_account(accounts: Sequence[Mapping[str, str]]) -> str | None:
    """The customer's id at Stripe among their accounts elsewhere."""
    return next((account["provider_id"] for account in accounts if account["provider"] == "stripe"), None)


_ADOPT = "UPDATE customers SET stripe_customer_id = %s WHERE customer_id = %s"


async def _adopt(tx: Tx, customer_id: CustomerId, stripe_id: str) -> None:
    """Use the customer that the platform has at Stripe already. No card of theirs is: a card needs its consent."""
    require_stripe_id(stripe_id)
    await tx.execute(_ADOPT, (stripe_id, customer_id))
    await add_alias(tx, "stripe_customer", stripe_id, customer_id, customer_id)
    owner = await find_alias(tx, "stripe_customer", stripe_id)
    if owner is None or owner[0] != customer_id:
        raise Refused("external_id_taken", f"Another customer has {stripe_id} at Stripe.", field="external_accounts")


def require_stripe_id(stripe_id: str) -> None:
    """Refuse what is no id of a customer at Stripe."""
    if not _STRIPE_ID.fullmatch(stripe_id):
        raise Refused("invalid_field", "A Stripe customer's id looks like cus_....", field="external_accounts")


_GET = "SELECT * FROM customers WHERE customer_id = %s"


async def get(tx: Tx, customer_id: CustomerId) -> Customer:
    """The customer; refuses an id that does not exist."""
    return await tx.ask(get_query(customer_id))


def get_query(customer_id: CustomerId) -> Query[Customer]:
    """The same as a query."""

    def read(rows: Sequence[Row]) -> Customer:
        if not rows:
            raise Refused("customer_not_found", f"There is no customer {customer_id[:60]!r}.")
        return _customer(rows[0])

    return Query(_GET, (customer_id,), read)


_LOCK = _GET + " FOR NO KEY UPDATE"


async def lock(tx: Tx, customer_id: CustomerId) -> Customer:
    """The customer, locked: first of all locks."""
    row = await tx.one(_LOCK, (customer_id,))
    tx.locked()
    if row is None:
        raise Refused("customer_not_found", f"There is no customer {customer_id[:60]!r}.")
    return _customer(row)


_UPDATE = """
    UPDATE customers SET name = %s, email = %s, external_id = %s, time_zone = %s, external_accounts = %s
    WHERE customer_id = %s
"""


async def update(tx: Tx, customer_id: CustomerId, changes: Mapping[str, Any]) -> tuple[Customer, Customer]:
    """Change some of name, email, external_id, time_zone and external_accounts. Returns the customer before and after.

    Whether a customer at Stripe may take the place of another is the caller's to check.
    """
    before = await lock(tx, customer_id)
    if before.erased_at is not None:
        raise Refused("customer_erased", "This customer was erased: nothing of them can be changed or opened again.")
    after = dataclasses.replace(before, **changes)
    await tx.execute(
        _UPDATE,
        (
            text.clean(after.name, "name"), after.email, after.external_id, _zone(after.time_zone),
            Jsonb(list(after.external_accounts)), customer_id,
        ),
    )  # fmt: skip
    stripe_id = stripe_account(after.external_accounts)
    if stripe_id is not None and stripe_id != before.stripe_customer_id and "external_accounts" in changes:
        await _adopt(tx, customer_id, stripe_id)
    if after.external_id != before.external_id:
        if before.external_id is not None:
            await tx.execute("DELETE FROM aliases WHERE kind = 'external_id' AND value = %s", (before.external_id,))
        if after.external_id is not None:
            await _claim_external(tx, after.external_id, customer_id)
    return before, after


_LIST = """
    SELECT * FROM customers WHERE %(before)s::uuid IS NULL OR customer_id < %(before)s
    ORDER BY customer_id DESC LIMIT %(limit)s OFFSET %(offset)s
"""


async def list_page(tx: Tx, *, limit: int, offset: int = 0, before: CustomerId | None = None) -> list[Customer]:
    """One page of customers, newest first: those after `before`, which no new customer moves, or from an offset."""
    return [_customer(row) for row in await tx.all(_LIST, {"before": before, "limit": limit, "offset": offset})]


_COUNT = "SELECT count(*) AS total FROM customers"


async def count(tx: Tx) -> int:
    """How many there are in all."""
    row = await tx.one(_COUNT)
    return 0 if row is None else int(row["total"])


_RESOLVE = "SELECT value, customer_id FROM aliases WHERE kind = 'external_id' AND value = ANY(%s)"


async def resolve_external(tx: Tx, external_ids: Sequence[str]) -> dict[str, str]:
    """Customer ids by external id; unknown ones are absent."""
    rows = await tx.all(_RESOLVE, (list(external_ids),))
    return {row["value"]: row["customer_id"] for row in rows}


async def named(tx: Tx, name: str) -> CustomerId:
    """The id of a customer whom a caller names by it, or as `external_id:` and the caller's own id."""
    if not name.startswith(EXTERNAL):
        return CustomerId(name)
    external_id = text.one_writing(name.removeprefix(EXTERNAL))
    known = await resolve_external(tx, [external_id])
    if external_id not in known:
        raise Refused("customer_not_found", "There is no customer with this external_id.")
    return CustomerId(known[external_id])


async def add_alias(tx: Tx, kind: str, value: str, customer_id: CustomerId, target_id: str) -> None:
    """Make a thing findable by a name that does not lead with its customer. The same one twice is fine."""
    await tx.execute(
        "INSERT INTO aliases (kind, value, customer_id, target_id) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (kind, value, customer_id, target_id),
    )


async def find_alias(tx: Tx, kind: str, value: str) -> tuple[CustomerId, str] | None:
    """(customer_id, target_id) behind a name, or None."""
    row = await tx.one("SELECT customer_id, target_id FROM aliases WHERE kind = %s AND value = %s", (kind, value))
    return None if row is None else (row["customer_id"], row["target_id"])


async def set_locale(tx: Tx, customer_id: CustomerId, locale: str) -> None:
    """The language that the customer reads from now on, in the portal and in e-mails."""
    await tx.execute("UPDATE customers SET locale = %s WHERE customer_id = %s", (locale, customer_id))


async def set_stripe_customer(tx: Tx, customer_id: CustomerId, stripe_customer_id: str) -> str:
    """Remember the customer's id at Stripe; the first one stays. Returns the one that stands."""
    await tx.execute(
        "UPDATE customers SET stripe_customer_id = %s WHERE customer_id = %s AND stripe_customer_id IS NULL",
        (stripe_customer_id, customer_id),
    )
    standing = (await get(tx, customer_id)).stripe_customer_id
    assert standing is not None
    await add_alias(tx, "stripe_customer", standing, customer_id, customer_id)
    return standing


_REPLACE_STRIPE = """
    UPDATE customers SET stripe_customer_id = %s WHERE customer_id = %s AND stripe_customer_id = %s
"""


async def replace_stripe_customer(tx: Tx, customer_id: CustomerId, gone: str, stripe_customer_id: str) -> str:
    """Another customer at Stripe takes the place of one that is gone. Returns the one that stands: where two replace
    it at once, the first.
    """
    await tx.execute(_REPLACE_STRIPE, (stripe_customer_id, customer_id, gone))
    standing = (await get(tx, customer_id)).stripe_customer_id
    assert standing is not None
    await add_alias(tx, "stripe_customer", standing, customer_id, customer_id)
    return standing


def _zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise Refused(
            "invalid_field", f"time_zone {name[:40]!r} is not a name such as Europe/Berlin.", field="time_zone"
        )
    return name


async def _claim_external(tx: Tx, external_id: str, customer_id: CustomerId) -> None:
    try:
        await tx.execute(
            "INSERT INTO aliases (kind, value, customer_id, target_id) VALUES ('external_id', %s, %s, %s)",
            (external_id, customer_id, customer_id),
        )
    except psycopg.errors.UniqueViolation:
        raise Refused(
            "external_id_taken", "Another customer has this external_id: find it by GET /v1/customers?external_id=.",
            field="external_id",
        ) from None  # fmt: skip


def _customer(row: Row) -> Customer:
    return Customer(**{field.name: row[field.name] for field in dataclasses.fields(Customer)})
