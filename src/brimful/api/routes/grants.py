"""Credits: grants, what was used of each, and the offers on top of payments."""

from decimal import Decimal
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from brimful import assets, grants, ledger
from brimful.api import context, pagination, schemas
from brimful.api.context import Context, Transaction
from brimful.api.json_body import Instant
from brimful.api.pagination import Limit, Offset
from brimful.api.routes.wallets import account_of
from brimful.core import money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId

router = context.router_for("Wallets")
offers_router = context.router_for("Assets")
_GRANTS = "/customers/{customer_id}/wallet/{account_id}/grants"
_READ_MAX = 50_000  # entries, for one page of a statement


class GrantFilter(BaseModel):
    """How a list of grants may be narrowed."""

    limit: Limit = 50
    offset: Offset = 0
    cursor: str | None = None
    purpose: str | None = None
    exclude_expired: bool | None = None
    effective_from: Instant | None = None
    effective_to: Instant | None = None
    expired_from: Instant | None = None
    expired_to: Instant | None = None


@router.get(_GRANTS)
async def list_grants(
    app: Context,
    tx: Transaction,
    customer_id: CustomerId,
    account_id: str,
    narrowed: Annotated[GrantFilter, Query()],
) -> schemas.grants.Grants:
    """The credits of one balance in the form of Credyt's grants, newest first, each with what is left of it."""
    pagination.one_way(narrowed.offset, narrowed.cursor)
    before = pagination.read_number("g", narrowed.cursor)
    account, now = await account_of(tx, customer_id, account_id), await tx.now()
    found, total = await ledger.entries.credits_page(
        tx, customer_id, account.asset, limit=narrowed.limit + 1, offset=narrowed.offset, before=before,
        purpose=narrowed.purpose, since=narrowed.effective_from, until=narrowed.effective_to,
        alive_at=now if narrowed.exclude_expired else None, expired_since=narrowed.expired_from,
        expired_until=narrowed.expired_to,
    )  # fmt: skip
    rows, next_cursor = pagination.cut("g", found, narrowed.limit, lambda row: row["seq"])
    lots = await ledger.lot_store.read(tx, app.deps.keyring, account.key, account.head.seq)
    left = {lot.seq: lot.left for lot in lots}
    first = before is None and not narrowed.offset
    later = await grants.scheduled.list_for(tx, account.key) if first else []
    return schemas.grants.Grants(
        items=[schemas.grants.Grant.of(row, left.get(row["seq"], Decimal(0)), now) for row in rows],
        scheduled=[schemas.grants.Grant.scheduled(one) for one in later],
        total_count=total,
        limit=narrowed.limit,
        offset=narrowed.offset,
        next_cursor=next_cursor,
    )


@router.get(f"{_GRANTS}/{{grant_id}}/entries")
async def list_grant_entries(
    app: Context,
    tx: Transaction,
    customer_id: CustomerId,
    account_id: str,
    grant_id: str,
    limit: Limit = 50,
    cursor: str | None = None,
) -> schemas.grants.GrantEntries:
    """The statement of one credit: which movement took how much of it, oldest first."""
    after = pagination.read_number("u", cursor)
    account = await account_of(tx, customer_id, account_id)
    seq = await ledger.entries.seq_of(tx, account.key, grant_id)
    if seq is None:
        raise Refused("grant_not_found", "This balance has no such credit.")
    page = await ledger.lot_store.statement(
        tx, app.deps.keyring, account.key, seq, after=max(after or 0, seq), through=account.head.seq, limit=limit,
        read_max=_READ_MAX,
    )  # fmt: skip
    rows = {row["seq"]: row for row in await ledger.entries.at(tx, account.key, [one.seq for one in page.items])}
    return schemas.grants.GrantEntries(
        items=[schemas.grants.GrantEntry.of(rows[one.seq], one.taken, one.left) for one in page.items],
        next_cursor=None if page.reached is None else pagination.cursor_after("u", str(page.reached)),
    )


@offers_router.get("/assets/{code}/offers")
async def get_offers(tx: Transaction, code: str) -> schemas.grants.Offers:
    """What comes on top of payments for an asset."""
    return schemas.grants.Offers.of(await grants.offers.newest(tx, (await assets.get(tx, code)).code))


@offers_router.put("/assets/{code}/offers")
async def set_offers(tx: Transaction, code: str, body: schemas.requests.SetOffers) -> schemas.grants.Offers:
    """Put another list of offers in force: a new version. Top-ups that exist keep what they were offered."""
    asset, now = await assets.get(tx, code), await tx.now()
    wanted = []
    for offer in body.offers:
        exponent = money.currency(offer.currency).exponent
        amount = money.positive(
            money.parse(offer.amount_from, scale=exponent, field="amount_from"), field="amount_from"
        )
        wanted.append(
            grants.offers.Offer(
                currency=offer.currency,
                from_minor=money.chargeable(
                    money.minor_exact(amount, offer.currency, field="amount_from"), offer.currency, field="amount_from"
                ),
                percent=money.parse(offer.percent, scale=2, field="percent"),
                expires_after_days=offer.expires_after_days,
                valid_from=offer.valid_from or now,
                valid_to=offer.valid_to,
            )
        )
    return schemas.grants.Offers.of(await grants.offers.replace(tx, asset, wanted))
