"""One panel per balance: on the overview, and again when the stream reports a change."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from brimful import assets, auto_top_up, cards, ledger, top_ups
from brimful.auto_top_up.rules import Rule
from brimful.core import money
from brimful.db.pool import Tx
from brimful.portal import limits, presenters
from brimful.portal.context import Page


@dataclasses.dataclass(frozen=True)
class Panel:
    """What one balance's panel shows. `balance` is what is available."""

    asset: assets.Asset
    name: str
    balance: Decimal
    figure: str
    unit: str | None
    worth: str | None
    pending: str | None
    state: presenters.State
    filled: int
    line_at: int | None
    line: str | None
    rule: Rule | None
    card: cards.store.Card | None
    live: top_ups.model.TopUp | None
    spent_minor: int
    opened: bool  # whether the customer has this account at all
    aside: str | None  # what is held for running jobs, beside the balance
    charges: str | None  # when the card was charged last, and when it may be next
    expiring: str | None  # what expires next

    @property
    def used(self) -> bool:
        """What the customer never had, and does not keep funded, need not stand as large as a balance."""
        return self.opened or (self.rule is not None and self.rule.enabled)


async def panels(page: Page, tx: Tx) -> list[Panel]:
    """Every balance of the customer, in one fixed order."""
    customer_id = page.session.customer_id
    rules = {rule.asset: rule for rule in await auto_top_up.rules.list_rules(tx, customer_id)}
    known = {card.card_id: card for card in await cards.store.list_for(tx, customer_id)}
    accounts = {account.asset: account for account in await ledger.accounts.list_for(tx, customer_id)}
    keys = [(customer_id, code) for code in rules]
    spent = (
        {item.asset: item.facts.spent_minor for item in await auto_top_up.facts.read_facts(tx, keys)} if keys else {}
    )
    made = []
    for asset in await limits.shown_assets(page, tx):
        rule = rules.get(asset.code)
        live = await top_ups.store.live_by_account(tx, customer_id, asset.code) if rule is not None else None
        card = None if rule is None else known.get(rule.card_id)
        panel = await _panel(page, tx, asset, accounts.get(asset.code), rule, card, live, spent.get(asset.code, 0))
        made.append(panel)
    return made


async def _panel(
    page: Page,
    tx: Tx,
    asset: assets.Asset,
    account: ledger.accounts.Account | None,
    rule: Rule | None,
    card: cards.store.Card | None,
    live: top_ups.model.TopUp | None,
    spent_minor: int,
) -> Panel:
    words, balance = page.words, Decimal(0) if account is None else account.available
    line = rule.in_force if rule is not None and rule.enabled else None
    pending = Decimal(0)
    if account is not None:
        pending = await top_ups.store.units_on_their_way(tx, page.session.customer_id, asset.code)
    filled, line_at = presenters.vessel(balance, line, await _full(tx, asset, account, rule, live))
    own = asset.kind == "unit"
    return Panel(
        asset=asset,
        name=words.asset(asset),
        balance=balance,
        figure=words.number(balance) if own else words.amount(balance, asset),
        unit=words.unit(balance, asset) if own else None,
        worth=await _worth(page, tx, asset, balance) if own and balance > 0 else None,
        pending=words.amount(pending, asset) if pending else None,
        state=presenters.account_state(words, asset, rule, card, live, spent_minor),
        filled=filled,
        line_at=line_at,
        line=None if line is None else words.amount(line, asset),
        rule=rule,
        card=card,
        live=live,
        spent_minor=spent_minor,
        opened=account is not None,
        aside=None if account is None or not account.held else words.amount(account.held, asset),
        charges=None if account is None or rule is None else await _charges(page, tx, account, rule, live),
        expiring=None if account is None else await _expires_next(page, tx, asset, account),
    )


async def _expires_next(page: Page, tx: Tx, asset: assets.Asset, account: ledger.accounts.Account) -> str | None:
    """How much of the balance expires next, and when. Most accounts have nothing that does."""
    if account.lots_due_at is None:
        return None
    lots = await ledger.lot_store.read(tx, page.deps.keyring, account.key, account.head.seq)
    now = await tx.now()
    ends = [lot for lot in lots if lot.expires_at is not None and not lot.expired(now)]
    first = min((lot.expires_at for lot in ends if lot.expires_at is not None), default=None)
    if first is None:
        return None
    left = sum((lot.left for lot in ends if lot.expires_at == first), Decimal(0))
    words = page.words
    return words.t("{amount} of it expires on {day}.", amount=words.amount(left, asset), day=words.day(first))


async def _charges(
    page: Page, tx: Tx, account: ledger.accounts.Account, rule: Rule, live: top_ups.model.TopUp | None
) -> str | None:
    """When the card was charged last, and when it will be next if the use goes on as it does."""
    words, said = page.words, []
    for last in await top_ups.store.list_page(
        tx, account.customer_id, limit=1, asset=account.asset, kind="automatic", state="succeeded"
    ):
        amount, day = words.cash(last.amount_minor, last.currency), words.day(last.ended_at or last.requested_at)
        said.append(words.t("Last charged {amount} on {day}.", amount=amount, day=day))
    if rule.enabled and rule.pause_reason is None and live is None and account.available >= rule.in_force:
        above, use = account.available - rule.in_force, await ledger.runway.read(tx, account)
        due = ledger.runway.runs_dry_at(above, use, await tx.now())
        if above and due is not None:
            said.append(words.t("At your present use, the next charge is at about {moment}.", moment=words.moment(due)))
    return " ".join(said) or None


async def _full(
    tx: Tx,
    asset: assets.Asset,
    account: ledger.accounts.Account | None,
    rule: Rule | None,
    live: top_ups.model.TopUp | None,
) -> Decimal:
    """What fills the vessel: the threshold and a top-up above it; without a rule, what the latest addition left."""
    if rule is not None and rule.enabled:
        if live is not None:
            return rule.in_force + live.units
        if rule.target is not None:
            return rule.target
        rate = await assets.rate_at(tx, asset, rule.currency, await tx.now())
        if rate is not None:
            return rule.in_force + assets.units_for(rule.amount_minor, rule.currency, rate, asset)
    if account is None:
        return Decimal(0)
    rows = await ledger.entries.newest_additions(tx, account.customer_id, asset.code, before=None, limit=1)
    return rows[0]["balance_after"] if rows else Decimal(0)


async def _worth(page: Page, tx: Tx, asset: assets.Asset, balance: Decimal) -> str | None:
    """The balance in money, where the asset has a price now."""
    now = await tx.now()
    for rate in await assets.rates_of(tx, asset.code):
        if rate.valid_from <= now and (rate.valid_to is None or rate.valid_to > now):
            return page.words.rounded(money.value(balance, rate.rate), rate.currency)
    return None


@dataclasses.dataclass(frozen=True)
class Banner:
    """The one thing that most needs the customer."""

    tone: str
    text: str
    action: str | None = None
    url: str | None = None


def banner(page: Page, shown: Sequence[Panel], now: dt.datetime, low: set[str]) -> Banner | None:
    """At most one, the most severe. `low` names balances with less than a usual day's use left."""
    for check in (_confirm, _paused, _empty, _low(low), _expiring(now), _near_limit):
        for panel in shown:
            found = check(page, panel)
            if found is not None:
                return found
    return None


def _confirm(page: Page, panel: Panel) -> Banner | None:
    live, t = panel.live, page.words.t
    if live is None or live.state != "action_required":
        return None
    amount = page.words.cash(live.amount_minor, live.currency)
    url = f"/billing/confirm/{live.top_up_id}"
    if live.awaits_approval:
        text = t("A {amount} top-up for {asset} waits for your approval.", amount=amount, asset=panel.name)
        return Banner("warn", text, t("Review it"), url)
    text = t("Your bank wants you to confirm a {amount} top-up for {asset}.", amount=amount, asset=panel.name)
    return Banner("warn", text, t("Confirm payment"), url)


def _paused(page: Page, panel: Panel) -> Banner | None:
    if panel.state.name != "paused":
        return None
    t = page.words.t
    text = t("Auto top-up for {asset} is paused.", asset=panel.name)
    return Banner("warn", f"{text} {panel.state.text}", t("Choose a card"), _settings(panel))


def _empty(page: Page, panel: Panel) -> Banner | None:
    if panel.balance > 0 or not panel.opened or panel.live is not None:
        return None
    t = page.words.t
    text = t("Your {asset} balance is empty.", asset=panel.name)
    return Banner("warn", text, t("Top up"), f"/billing/top-up?asset={panel.asset.code}")


def _low(low: set[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202 - one of the checks above
    def check(page: Page, panel: Panel) -> Banner | None:
        below = panel.rule is not None and panel.rule.enabled and panel.balance < panel.rule.in_force
        if panel.live is not None or not (below or panel.asset.code in low):
            return None
        t = page.words.t
        text = t("Your {asset} balance is low: {balance}.", asset=panel.name,
                 balance=page.words.amount(panel.balance, panel.asset))  # fmt: skip
        return Banner("warn", text, t("Top up"), f"/billing/top-up?asset={panel.asset.code}")

    return check


def _expiring(now: dt.datetime):  # type: ignore[no-untyped-def]  # noqa: ANN202
    def check(page: Page, panel: Panel) -> Banner | None:
        card = panel.card
        if card is None or panel.rule is None or not panel.rule.enabled:
            return None
        if card.usable_until > now + auto_top_up.card_expiry.EXPIRY_NOTICE:
            return None
        t = page.words.t
        text = t("{card} expires {expiry}. Auto top-up for {asset} uses it.", card=card.label, expiry=card.expiry,
                 asset=panel.name)  # fmt: skip
        return Banner("note", text, t("Choose another card"), _settings(panel))

    return check


def _near_limit(page: Page, panel: Panel) -> Banner | None:
    rule = panel.rule
    if rule is None or not rule.enabled:
        return None
    if panel.spent_minor * 100 < rule.limit_minor * auto_top_up.evaluate.LIMIT_NEAR_PERCENT:
        return None
    t, words = page.words.t, page.words
    text = t(
        "Auto top-up for {asset} has used {spent} of {limit} this month.",
        asset=panel.name,
        spent=words.cash(panel.spent_minor, rule.currency),
        limit=words.cash(rule.limit_minor, rule.currency),
    )
    return Banner("note", text, t("Change the limit"), _settings(panel))


def _settings(panel: Panel) -> str:
    return f"/billing/auto-top-up/{panel.asset.code}"
