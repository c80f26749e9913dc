"""The customer's credits: what is left of each, what expires when, what is used next; and taking a top-up back."""

import dataclasses
import datetime as dt
from decimal import Decimal

from starlette.responses import Response

from brimful import assets, grants, ledger, payments, top_ups
from brimful.core.errors import Refused
from brimful.db.pool import Row, Tx
from brimful.ledger.lots import Lot
from brimful.portal.context import Page

_PAST = 20  # credits of which nothing is left


@dataclasses.dataclass(frozen=True)
class CreditRow:
    """One credit as the page shows it. `take_back` is the top-up that can be taken back."""

    name: str
    left: str
    of: str
    until: str | None
    next: bool
    status: str | None = None
    take_back: str | None = None


async def credits_of(page: Page) -> Response:
    """Every credit of one balance of which something is left, in the order in which they are used."""
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, page.request.path_params["asset"])
        account = await ledger.accounts.get(tx, page.session.customer_id, asset.code)
        account = account or ledger.accounts.unused(page.session.customer_id, asset.code)
        now = await tx.now()
        lots = await ledger.lot_store.read(tx, page.deps.keyring, account.key, account.head.seq)
        taking = await _can_take_back(page, tx, account, lots)
        later = await grants.scheduled.list_for(tx, account.key)
        past, _ = await ledger.entries.credits_page(tx, *account.key, limit=_PAST)
    there = {lot.seq for lot in lots}
    first = next((lot.seq for lot in lots if not lot.expired(now)), None)
    values = {
        "asset": asset,
        "name": page.words.asset(asset),
        "balance": page.words.amount(account.available, asset),
        "rows": [_row(page, asset, lot, now, first, taking) for lot in lots],
        "later": [_scheduled(page, asset, one) for one in later],
        "past": [_gone(page, asset, row, now) for row in past if row["seq"] not in there],
    }
    return page.show("credits.html", values)


def kind_of(page: Page, kind: str, purpose: str) -> str:
    """What a credit is called."""
    t = page.words.t
    if kind == "top_up":
        return t("Top-up")
    return {
        "paid": t("Paid credit"),
        "promotional": t("Promotional credit"),
        "bonus": t("Bonus"),
        "correction": t("Credit"),
    }[purpose]


def _row(
    page: Page, asset: assets.Asset, lot: Lot, now: dt.datetime, first: int | None, taking: dict[int, str]
) -> CreditRow:
    t, words = page.words.t, page.words
    status = t("Expired; kept for work that is running.") if lot.expired(now) else None
    until = None if lot.expires_at is None else words.moment(lot.expires_at)
    return CreditRow(
        kind_of(page, lot.kind, lot.purpose), words.amount(lot.left, asset), words.amount(lot.amount, asset), until,
        lot.seq == first, status, taking.get(lot.seq),
    )  # fmt: skip


def _scheduled(page: Page, asset: assets.Asset, credit: grants.scheduled.Scheduled) -> CreditRow:
    words = page.words
    begins = words.t("From {moment}", moment=words.moment(credit.effective_at))
    until = None if credit.expires_at is None else words.moment(credit.expires_at)
    amount = words.amount(credit.amount, asset)
    return CreditRow(kind_of(page, "adjustment", credit.purpose), amount, amount, until, next=False, status=begins)


def _gone(page: Page, asset: assets.Asset, row: Row, now: dt.datetime) -> CreditRow:
    words, expires_at = page.words, row["expires_at"]
    expired = expires_at is not None and expires_at <= now
    terms = ledger.lots.terms_of(row["kind"], row["purpose"], row["priority"])
    return CreditRow(
        kind_of(page, row["kind"], terms.purpose), words.amount(Decimal(0), asset), words.amount(row["amount"], asset),
        None, next=False, status=words.t("Expired") if expired else words.t("Used up"),
    )  # fmt: skip


def _window(page: Page) -> dt.timedelta:
    return dt.timedelta(hours=page.deps.settings.portal.undo_hours)


async def _can_take_back(
    page: Page, tx: Tx, account: ledger.accounts.Account, lots: ledger.lots.Lots
) -> dict[int, str]:
    """Top-ups that can be taken back now, by the `seq` of their credit."""
    found: dict[int, str] = {}
    since = await tx.now() - _window(page)
    young = [lot for lot in lots if lot.kind == "top_up" and lot.effective_at > since]
    rows = [{"payment_id": lot.payment_id, "seq": lot.seq} for lot in young]
    for row in await top_ups.store.with_top_ups(tx, account.customer_id, rows):
        top_up = await top_ups.store.get(tx, account.customer_id, row["top_up_id"])
        if isinstance(await _offered(page, tx, account, top_up), payments.take_back.Offered):
            found[row["seq"]] = top_up.top_up_id
    return found


async def _offered(
    page: Page, tx: Tx, account: ledger.accounts.Account, top_up: top_ups.model.TopUp
) -> payments.take_back.Offered | str:
    return await payments.take_back.offered(tx, page.deps.keyring, account, top_up, _window(page))


async def take_back(page: Page) -> Response:
    """What taking back would do; posted, it is done."""
    top_up_id = page.request.path_params["top_up_id"]
    async with page.deps.database.transaction() as tx:
        top_up = await top_ups.store.get(tx, page.session.customer_id, top_up_id)
    if page.posted:
        async with page.deps.database.transaction("take_back") as tx:
            await payments.take_back.take_back(
                tx, page.session, top_up_id, keyring=page.deps.keyring, window=_window(page), pace=page.deps.pace
            )
        return page.go(f"/credits/{top_up.asset}", done="taken_back")
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, top_up.asset)
        account = await ledger.accounts.get(tx, page.session.customer_id, top_up.asset)
        assert account is not None
        found = await _offered(page, tx, account, top_up)
    if not isinstance(found, payments.take_back.Offered):
        raise Refused("not_refundable", "This cannot be taken back.", why=found)
    words = page.words
    values = {
        "asset": asset,
        "top_up_id": top_up_id,
        "paid": words.cash(top_up.amount_minor, top_up.currency),
        "returns": words.cash(found.amount_minor, top_up.currency),
        "leaves": words.amount(found.units, asset),
        "after": words.amount(account.available - found.units, asset),
    }
    return page.show("take_back.html", values)
