"""The overview, and the way out."""

from decimal import Decimal
from typing import Any

from starlette.responses import RedirectResponse, Response

from brimful import assets, auto_topup, cards, customers, ledger, sessions, topups, wallets
from brimful.auto_topup import Rule
from brimful.db import Tx
from brimful.portal import show
from brimful.portal.door import Page
from brimful.portal.offer import shown_assets

__all__ = ["leave", "overview"]

_LATEST = 8


async def overview(page: Page) -> Response:
    """Every balance with its line, what is on its way, and the latest movements."""
    customer_id = page.session.customer_id
    async with page.deps.database.transaction() as tx:
        customer = await customers.get(tx, customer_id)
        rules = {rule.asset: rule for rule in await auto_topup.list_rules(tx, customer_id)}
        known = {card.card_id: card for card in await cards.list_for(tx, customer_id)}
        panels, waiting, latest = [], [], []
        for asset in await shown_assets(page, tx):
            account = await wallets.get(tx, customer_id, asset.code)
            rule = rules.get(asset.code)
            panels.append(await _panel(tx, customer, asset, account, rule, known))
            if account is not None:
                rows = await ledger.newest(tx, customer_id, asset.code, before=None, limit=_LATEST)
                latest += [_movement(row, asset, customer.time_zone) for row in rows]
            live = await topups.live_by_account(tx, customer_id, asset.code)
            if live is not None and live.state == "action_required":
                waiting.append({"id": live.top_up_id, "amount": show.cash(live.amount_minor, live.currency),
                                "asset": asset.name})  # fmt: skip
    latest.sort(key=lambda item: item["at"], reverse=True)
    values = {"customer": customer, "panels": panels, "waiting": waiting, "latest": latest[:_LATEST]}
    return page.show("overview.html", values)


async def _panel(
    tx: Tx,
    customer: customers.Customer,
    asset: assets.Asset,
    account: wallets.Account | None,
    rule: Rule | None,
    known: dict[str, cards.Card],
) -> dict[str, Any]:
    balance = Decimal(0) if account is None else account.balance
    live = await topups.live_by_account(tx, customer.customer_id, asset.code)
    pending = await topups.pending_units(tx, customer.customer_id, asset.code)
    on = rule is not None and rule.enabled
    line = rule.threshold if rule is not None and on else None
    amount = None if live is None else live.units
    filled, line_at = show.vessel(balance, line, amount)
    return {
        "asset": asset,
        "balance": show.asset_amount(balance, asset),
        "negative": balance < 0,
        "on": on,
        "paused": rule is not None and rule.pause_reason is not None,
        "sentence": show.account_sentence(rule, known.get(rule.card_id) if rule else None, asset, customer.time_zone),
        "pending": show.asset_amount(pending, asset) if pending else None,
        "filled": filled,
        "line_at": line_at,
        "line": None if line is None else show.asset_amount(line, asset),
    }


_KINDS = {
    "usage": "Usage", "charge": "Charge", "adjustment": "Adjustment", "top_up": "Top-up", "refund": "Refund",
    "dispute": "Dispute", "reinstatement": "Reinstated",
}  # fmt: skip


def _movement(row: dict[str, Any], asset: assets.Asset, zone: str) -> dict[str, Any]:
    return {
        "at": row["recorded_at"],
        "when": show.day_time(row["recorded_at"], zone),
        "what": row["description"] or _KINDS[row["kind"]],
        "amount": show.asset_amount(row["amount"], asset),
        "plus": row["amount"] > 0,
        "after": show.asset_amount(row["balance_after"], asset),
    }


async def leave(page: Page) -> Response:
    """Sign out, back to the platform."""
    async with page.deps.database.transaction() as tx:
        await sessions.end(tx, page.session)
    return RedirectResponse(page.session.return_url or page.door.url("/"), 303)
