"""Saved cards: list, add on Stripe's page, replace, make default, remove."""

import re

from starlette.responses import Response

from brimful import auto_top_up, cards, i18n, jobs, payments
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.portal.context import Page

_WAIT_PAGES_MAX = 20
_ASSET = re.compile(r"[A-Z][A-Z0-9_]{1,31}", re.ASCII)
_CARD = re.compile(r"card_[0-9a-f]{32}", re.ASCII)


async def card_list(page: Page) -> Response:
    """Saved cards, what each is used for, add, make default, remove."""
    async with page.deps.database.transaction() as tx:
        known = await cards.store.list_for(tx, page.session.customer_id)
        used = {card.card_id: await _used_for(page, tx, card.card_id) for card in known}
        backup = {card.card_id: await _backup_for(page, tx, card.card_id) for card in known}
        now = await tx.now()
    expiring = {card.card_id for card in known if card.usable_until <= now + auto_top_up.card_expiry.EXPIRY_NOTICE}
    values = {
        "cards": known,
        "used": {card_id: [name for _, name in names] for card_id, names in used.items()},
        "backup": backup,
        "expiring": expiring,
        "save_text": i18n.consents.save_card(page.words, page.deps.settings.merchant),
        "available": page.deps.payments is not None,
    }
    return page.show("cards.html", values)


async def _used_for(page: Page, tx: Tx, card_id: str) -> list[tuple[str, str]]:
    """Code and name of each asset whose auto top-up charges this card."""
    rules = await auto_top_up.rules.list_rules(tx, page.session.customer_id)
    codes = [rule.asset for rule in rules if rule.enabled and rule.card_id == card_id]
    return [(code, page.words.asset(await page.deps.catalogue.get(tx, code))) for code in codes]


async def _backup_for(page: Page, tx: Tx, card_id: str) -> list[str]:
    """Name of each asset whose auto top-up has this card as its backup."""
    rules = await auto_top_up.rules.list_rules(tx, page.session.customer_id)
    codes = [rule.asset for rule in rules if rule.enabled and rule.backup_card_id == card_id]
    return [page.words.asset(await page.deps.catalogue.get(tx, code)) for code in codes]


async def card_add(page: Page) -> Response:
    """To Stripe's page; the customer's tick is the consent to save the card."""
    if page.field("agreed") != "yes":
        raise Refused("consent_required", "Tick the box to let us save the card.", field="agreed")
    asset, replaced = page.field("asset"), page.field("replaces")
    return_to = "/cards"
    if _ASSET.fullmatch(asset):
        return_to = f"/auto-top-up/{asset}"
    elif _CARD.fullmatch(replaced):
        return_to = f"/cards/{replaced}/remove"
    url = await payments.checkout.open_setup_page(
        page.payment_context(),
        page.session,
        rendered=i18n.consents.save_card(page.words, page.deps.settings.merchant),
        limits=page.card_limits,
        return_to=return_to,
        urls=lambda setup_id: (page.context.url(f"/cards/added/{setup_id}"), page.context.url(return_to)),
    )
    return page.away(url)


async def card_added(page: Page) -> Response:
    """Back from Stripe's page: the engine reads what became of it; this page waits for that."""
    setup_id = page.request.path_params["setup_id"]
    async with page.deps.database.transaction() as tx:
        setup = await cards.setups.get(tx, page.session.customer_id, setup_id)
        if setup is None:
            raise Refused("not_found", "There is no such card being added.")
        if setup.state == "open":
            await jobs.defer(tx, jobs.Name.SETUP, [{"customer_id": setup.customer_id, "setup_id": setup.setup_id}])
    if setup.state == "completed":
        path = setup.return_to or "/cards"
        return page.go(f"{path}?card={setup.card_id}" if path != "/cards" else path, done="card_added")
    turn = page.query("turn")
    locks = int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 3 else 0
    again = page.context.url(f"/cards/added/{setup_id}?turn={locks + 1}") if locks < _WAIT_PAGES_MAX else None
    return page.show("card_added.html", {"state": setup.state, "again": again})


async def card_remove(page: Page) -> Response:
    """Take a card away, at the second press: what Stripe has detached nobody can bring back. The page before names the
    rules that use the card, and offers another one or turning them off.
    """
    card_id = page.request.path_params["card_id"]
    async with page.deps.database.transaction() as tx:
        card = await cards.store.get(tx, page.session.customer_id, card_id)
        used, backup = await _used_for(page, tx, card_id), await _backup_for(page, tx, card_id)
        others = [other for other in await cards.store.list_for(tx, page.session.customer_id)
                  if other.card_id != card_id and other.state == "active"]  # fmt: skip
    if card.state == "detached":
        return page.go("/cards")
    if not page.posted or page.field("sure") != "yes":
        wanted = next((other.card_id for other in others if other.card_id == page.query("card")), None)
        other = wanted or (others[0].card_id if others else None)
        values = {"card": card, "used": used, "backup": backup, "other": other,
                  "save_text": i18n.consents.save_card(page.words, page.deps.settings.merchant)}  # fmt: skip
        return page.show("card_remove.html", values)
    async with page.deps.database.transaction() as tx:
        card = await auto_top_up.rules.remove_card(tx, page.session, card_id, page.deps.pace)
    if page.deps.payments is not None:
        await page.deps.payments.gateway.detach_card(card.stripe_payment_method_id)
    return page.go("/cards", done="card_removed")


async def card_default(page: Page) -> Response:
    """Preselect a card in forms."""
    async with page.deps.database.transaction() as tx:
        await cards.store.make_default(tx, page.session, page.request.path_params["card_id"])
    return page.go("/cards", done="card_first")
