"""Saved cards: list, add on Stripe's page, make default, remove."""

import re

from starlette.responses import RedirectResponse, Response

from brimful import auto_topup, cards, jobs, paying
from brimful.errors import Refused
from brimful.portal.door import Page

__all__ = ["card_add", "card_added", "card_default", "card_list", "card_remove"]

_WAIT_PAGES_MAX = 20


async def card_list(page: Page) -> Response:
    """Saved cards, what each is used for, add, make default, remove."""
    async with page.deps.database.transaction() as tx:
        known = await cards.list_for(tx, page.session.customer_id)
        rules = [rule for rule in await auto_topup.list_rules(tx, page.session.customer_id) if rule.enabled]
    used: dict[str, list[str]] = {}
    for item in rules:
        used.setdefault(item.card_id, []).append(item.asset)
    save_text = cards.consents.save_card_text(page.deps.settings.merchant)
    return page.show("cards.html", {"cards": known, "used": used, "save_text": save_text, "next": ""})


async def card_add(page: Page) -> Response:
    """To Stripe's page; the customer's tick is the consent to save the card."""
    if page.field("agreed") != "yes":
        raise Refused("consent_required", "Tick the box to let us save the card.", field="agreed")
    asset = page.field("asset")
    return_to = f"/auto-top-up/{asset}" if re.fullmatch(r"[A-Z][A-Z0-9_]{1,31}", asset) else "/cards"
    url = await paying.open_setup_page(
        page.till(),
        page.session,
        per_hour=page.deps.settings.cards_per_hour,
        return_to=return_to,
        urls=lambda setup_id: (page.door.url(f"/cards/added/{setup_id}"), page.door.url(return_to)),
    )
    return RedirectResponse(url, 303)


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
        return page.go(setup.return_to or "/cards")
    turn = page.request.query_params.get("turn", "0")
    turns = int(turn) if turn.isascii() and turn.isdigit() and len(turn) < 3 else 0
    again = page.door.url(f"/cards/added/{setup_id}?turn={turns + 1}") if turns < _WAIT_PAGES_MAX else None
    return page.show("card_added.html", {"state": setup.state, "again": again})


async def card_remove(page: Page) -> Response:
    """Take a card away; rules that use it are turned off. Stripe forgets it after the commit."""
    async with page.deps.database.transaction() as tx:
        card = await auto_topup.remove_card(tx, page.session, page.request.path_params["card_id"], page.deps.pace)
    if page.deps.till is not None:
        await page.deps.till.gateway.detach_card(card.stripe_payment_method_id)
    return page.go("/cards")


async def card_default(page: Page) -> Response:
    """Preselect a card in forms."""
    async with page.deps.database.transaction() as tx:
        await cards.make_default(tx, page.session, page.request.path_params["card_id"])
    return page.go("/cards")
