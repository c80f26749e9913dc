"""Activity: every movement, failed payments among them, with filters, CSV and receipts."""

import dataclasses
import datetime as dt
import re
import zoneinfo
from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.responses import Response, StreamingResponse

from brimful import assets, i18n, ledger, top_ups
from brimful.core import csv, money
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx
from brimful.portal import limits, presenters
from brimful.portal.context import Page

_PAGE = 200
_CURSOR = re.compile(r"(?:[A-Z][A-Z0-9_]{1,31}\.[0-9]{1,18}~)*(?:(?:top|pay)_[0-9a-f]{32})?", re.ASCII)
_ADDITIONS = ("top_up", "refund", "dispute", "reinstatement", "adjustment", "bonus", "expiry")
_KINDS = {"all": None, "spending": ledger.entries.SPENDING, "money": _ADDITIONS}
_CSV_CHUNK = 1000
_READ_MAX = 5_000  # entries, to say what a page's spending used


@dataclasses.dataclass
class Item:
    """A row: one movement, or several alike that followed one another on one day."""

    at: dt.datetime
    what: str
    asset: assets.Asset
    amount: Decimal | None
    after: Decimal | None
    state: str
    count: int = 1
    top_up_id: str | None = None
    action: tuple[str, str] | None = None
    group: tuple[Any, ...] | None = None
    purposes: frozenset[str] = frozenset()  # of the credits that it used
    used: str | None = None
    shown: dict[str, str] = dataclasses.field(default_factory=dict)


async def activity(page: Page) -> Response:
    """One page of activity, newest first."""
    kind = page.query("kind") if page.query("kind") in _KINDS else "all"
    async with page.deps.database.transaction() as tx:
        held = await _held(page, tx)
        chosen = [asset for asset in held if asset.code == page.query("asset")]
        now = await tx.now()
        items, older = await _page_of(page, tx, chosen or held, kind=kind, limit=_PAGE, cursor=page.query("before"))
    kinds = {
        "all": page.words.t("Everything"),
        "spending": page.words.t("Spending"),
        "money": page.words.t("Top-ups and credits"),
    }
    values = {
        "items": [_shown(page, item, now) for item in items],
        "assets": [(asset.code, page.words.asset(asset)) for asset in held],
        "asset": chosen[0].code if chosen else "",
        "kind": kind,
        "kinds": kinds,
        "older": older,
        "first": not page.query("before"),
    }
    return page.show("activity.html", values)


async def latest(page: Page, tx: Tx, held: Sequence[assets.Asset], *, limit: int) -> list[Item]:
    """The newest rows, for the overview."""
    items, _ = await _page_of(page, tx, held, kind="all", limit=60, cursor="")
    now = await tx.now()
    return [_shown(page, item, now) for item in items[:limit]]


async def _held(page: Page, tx: Tx) -> list[assets.Asset]:
    held = {account.asset for account in await ledger.accounts.list_for(tx, page.session.customer_id)}
    return [asset for asset in await limits.shown_assets(page, tx) if asset.code in held]


async def _page_of(
    page: Page, tx: Tx, wanted: Sequence[assets.Asset], *, kind: str, limit: int, cursor: str
) -> tuple[list[Item], str | None]:
    """The next rows from a cursor, which holds a place in each account's chain and one in the failed payments."""
    marks, failed_mark = _read_cursor(cursor)
    kinds = _KINDS[kind]
    found: list[tuple[dt.datetime, str, int | str, Item]] = []
    pending: list[Item] = []
    for asset in wanted:
        rows = await _rows(tx, page.session.customer_id, asset.code, marks.get(asset.code), kinds, limit)
        used = await _purposes(page, tx, asset.code, rows)
        found += [
            (row["recorded_at"], asset.code, row["seq"], _movement(page, row, asset, used.get(row["seq"], frozenset())))
            for row in rows
        ]
    if kinds is None or "top_up" in kinds:
        by_code = {asset.code: asset for asset in wanted}
        customer_id = page.session.customer_id
        failed = await top_ups.failures.list_page(tx, customer_id, by_code, before=failed_mark, limit=limit + 1)
        found += [(one.at, "", one.place, _failed(page, one, by_code[one.asset])) for one in failed]
        live = [] if cursor else await top_ups.store.list_being_paid(tx, customer_id, list(by_code))
        pending = [_pending(page, one, by_code[one.asset]) for one in live]
    found.sort(key=lambda item: (item[0], str(item[1]), item[2] if isinstance(item[2], int) else 0), reverse=True)
    kept = found[:limit]
    for _, code, place, _item in kept:
        if isinstance(place, int):
            marks[code] = place
        else:
            failed_mark = place
    more = len(found) > limit
    older = "".join(f"{code}.{seq}~" for code, seq in sorted(marks.items())) + (failed_mark or "")
    return pending + _grouped([item for *_, item in kept], page.session.time_zone), older if more else None


def _read_cursor(cursor: str) -> tuple[dict[str, int], str | None]:
    if not _CURSOR.fullmatch(cursor):
        raise Refused("not_found", "There is no such page.")
    *places, top_up = cursor.split("~") if cursor else [""]
    return {code: int(seq) for code, _, seq in (place.partition(".") for place in places)}, top_up or None


async def _rows(
    tx: Tx, customer_id: CustomerId, asset: str, before: int | None, kinds: Sequence[str] | None, limit: int
) -> list[Row]:
    """One more than the limit, so that it shows whether there are more."""
    if kinds is not None and "top_up" in kinds:
        rows = await ledger.entries.newest_additions(tx, customer_id, asset, before=before, limit=limit + 1)
    else:
        rows = await ledger.entries.newest(tx, customer_id, asset, before=before, limit=limit + 1, kinds=kinds)
    return await top_ups.store.with_top_ups(tx, customer_id, rows)


async def _purposes(page: Page, tx: Tx, asset: str, rows: Sequence[Row]) -> dict[int, frozenset[str]]:
    """The purposes of the credits that this spending used: of rows that lie far back from one another, the newest."""
    seqs = [row["seq"] for row in rows if row["kind"] in ledger.entries.SPENDING]
    if not seqs:
        return {}
    key = page.session.customer_id, asset
    return await ledger.lot_store.purposes(tx, page.deps.keyring, key, max(min(seqs), max(seqs) - _READ_MAX), max(seqs))


def _movement(page: Page, row: Row, asset: assets.Asset, purposes: frozenset[str]) -> Item:
    words = page.words
    spending = row["kind"] in ledger.entries.SPENDING
    what = row["description"] or presenters.activity(words, row["kind"], row["amount"])
    top_up_id = row["top_up_id"] if row["kind"] == "top_up" else None
    return Item(
        at=row["recorded_at"],
        what=what,
        asset=asset,
        amount=row["amount"],
        after=row["balance_after"],
        state="done",
        top_up_id=top_up_id,
        group=(asset.code, what) if spending else None,
        purposes=purposes if spending else frozenset(),
    )


def _failed(page: Page, one: top_ups.failures.FailedPayment, asset: assets.Asset) -> Item:
    """A payment that was declined, or a top-up that failed before any: its reason and what to do."""
    words = page.words
    reason, amount = i18n.reasons.failed(words, one.reason), words.cash(one.amount_minor, one.currency)
    what = words.t("Top-up of {amount} did not work", amount=amount)
    if one.kind == "automatic":
        what = words.t("Auto top-up of {amount} did not work", amount=amount)
    return Item(
        at=one.at,
        what=what,
        asset=asset,
        amount=None,
        after=None,
        state=reason,
        action=(words.t("Top up"), f"/billing/top-up?asset={asset.code}"),
    )


def _pending(page: Page, one: top_ups.model.TopUp, asset: assets.Asset) -> Item:
    """A payment that is being made or waits: what for, and the way on if its customer is asked."""
    words = page.words
    amount = words.cash(one.amount_minor, one.currency)
    what = (
        words.t("Auto top-up of {amount}", amount=amount)
        if one.kind == "automatic"
        else words.t("Top-up of {amount}", amount=amount)
    )
    action = None
    if one.state == "action_required":
        action = (words.t("Review it") if one.awaits_approval else words.t("Confirm payment"),
                  f"/billing/confirm/{one.top_up_id}")  # fmt: skip
    state = presenters.being_paid(words, one).text
    return Item(at=one.requested_at, what=what, asset=asset, amount=None, after=None, state=state, action=action)


def _grouped(items: Sequence[Item], zone: str) -> list[Item]:
    """Spending alike, on one day, without anything between: one row with its count."""
    local = zoneinfo.ZoneInfo(zone)
    rows: list[Item] = []
    for item in items:
        last = rows[-1] if rows else None
        same = last is not None and item.group is not None and item.group == last.group
        if same and last is not None and last.at.astimezone(local).date() == item.at.astimezone(local).date():
            last.amount = (last.amount or Decimal(0)) + (item.amount or Decimal(0))
            last.count += 1
            last.purposes |= item.purposes
        else:
            rows.append(item)
    return rows


_GIVEN = {"promotional", "bonus"}


def _used(page: Page, purposes: frozenset[str]) -> str | None:
    """Which credit was used, where it was given and not paid for."""
    if not purposes & _GIVEN:
        return None
    if purposes <= _GIVEN:
        return page.words.t("from credit you were given")
    return page.words.t("partly from credit you were given")


def _shown(page: Page, item: Item, now: dt.datetime) -> Item:
    words = page.words
    item.used = _used(page, item.purposes)
    item.shown = {
        "when": words.when(item.at, now),
        "asset": words.asset(item.asset),
        "amount": "" if item.amount is None else words.signed(item.amount, item.asset),
        "after": "" if item.after is None else words.amount(item.after, item.asset),
        "count": "" if item.count == 1 else words.n("{number} event", "{number} events", item.count),
    }
    return item


async def activity_csv(page: Page) -> Response:
    """Everything as CSV, oldest last, in chunks: the file never lies in memory whole."""
    async with page.deps.database.transaction() as tx:
        held = await _held(page, tx)
    chosen = [asset for asset in held if asset.code == page.query("asset")] or held
    headers = {"Content-Disposition": 'attachment; filename="activity.csv"'}
    return StreamingResponse(_csv(page, chosen), media_type="text/csv; charset=utf-8", headers=headers)


def _dimensions(dimensions: Mapping[str, str] | None) -> str:
    return "; ".join(f"{key}={value}" for key, value in (dimensions or {}).items())


async def _csv(page: Page, wanted: Sequence[assets.Asset]) -> AsyncIterator[str]:
    names = ("date", "type", "description", "asset", "amount", "balance_after", "reference", "subject", "dimensions")
    yield csv.csv_row(names)
    zone = zoneinfo.ZoneInfo(page.session.time_zone)
    for asset in wanted:
        before: int | None = None
        while True:
            async with page.deps.database.transaction() as tx:
                rows = await ledger.entries.newest(
                    tx, page.session.customer_id, asset.code, before=before, limit=_CSV_CHUNK
                )
                rows = await top_ups.store.with_top_ups(tx, page.session.customer_id, rows)
            if not rows:
                break
            before = rows[-1]["seq"]
            yield "".join(
                csv.csv_row((
                    row["recorded_at"].astimezone(zone).isoformat(timespec="seconds"), row["kind"],
                    row["description"] or "", asset.code, money.text(row["amount"]), money.text(row["balance_after"]),
                    row["top_up_id"] or row["key"], row["subject"] or "", _dimensions(row["dimensions"]),
                ))
                for row in rows
            )  # fmt: skip
