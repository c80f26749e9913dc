"""A payment link, a confirmation, what became of a top-up, and its receipt."""

from starlette.responses import Response

from brimful import cards, i18n, payments, top_ups
from brimful.core.errors import Refused
from brimful.portal import presenters
from brimful.portal.context import Page
from brimful.portal.pages import top_up


async def result(page: Page) -> Response:
    """What became of a top-up; while it is open, Stripe is read once more."""
    top_up_id = page.request.path_params["top_up_id"]
    _only_its_own(page, top_up_id)
    async with page.deps.database.transaction() as tx:
        found = await top_ups.store.get(tx, page.session.customer_id, top_up_id)
    if found.live and page.deps.payments is not None:
        await payments.advance.advance(page.deps.payments, page.session.customer_id, top_up_id)
    async with page.deps.database.transaction() as tx:
        found = await top_ups.store.get(tx, page.session.customer_id, top_up_id)
        payment = await top_ups.store.open_payment(tx, found)
        asset = await page.deps.catalogue.get(tx, found.asset)
    waits = found.live and found.state not in {"action_required", "requested", "retry_wait"}
    back = page.session.return_url if found.state == "succeeded" else page.session.failure_url
    heading, sentence = presenters.outcome(page.words, found, asset, payment)
    confirms = found.state == "action_required" and found.card_id is not None and found.kind == "automatic"
    return page.show(
        "result.html",
        {
            "top_up": found,
            "heading": heading,
            "sentence": sentence,
            "waits": waits,
            "page_url": None if payment is None or not found.live else payment.redirect_url,
            "confirms": confirms,
            "again": found.state in {"failed", "canceled"} and page.session.kind == "portal",
            "back": back,
        },
    )


def _only_its_own(page: Page, top_up_id: str) -> None:
    """A payment link sees its own top-up and no other."""
    if page.session.kind == "payment" and top_up_id != page.session.top_up_id:
        raise Refused("top_up_not_found", "There is no such top-up.")


async def pay_link(page: Page) -> Response:
    """A payment link: this one top-up, by a new card, or by its own card when the bank asked for its customer."""
    top_up_id = page.session.top_up_id
    if top_up_id is None:
        return page.go("/")
    async with page.deps.database.transaction() as tx:
        found = await top_ups.store.get(tx, page.session.customer_id, top_up_id)
    if found.kind == "automatic":
        return await _confirm(page, top_up_id)
    if not found.live or found.state not in {"requested", "action_required"}:
        return page.go(f"/top-ups/{top_up_id}")
    if page.posted:
        return await top_up.pay_new(page, page.payment_context(), top_up_id)
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, found.asset)
    return page.show(
        "pay_link.html",
        {
            "amount": page.words.cash(found.amount_minor, found.currency),
            "units": page.words.amount(found.units, asset),
            "description": found.description,
            "save_text": i18n.consents.save_card(page.words, page.deps.settings.merchant),
        },
    )


async def confirm(page: Page) -> Response:
    """A payment that the bank wants its customer to confirm, or that they wanted to be asked about."""
    top_up_id = page.request.path_params["top_up_id"]
    _only_its_own(page, top_up_id)
    return await _confirm(page, top_up_id)


async def _confirm(page: Page, top_up_id: str) -> Response:
    async with page.deps.database.transaction() as tx:
        found = await top_ups.store.get(tx, page.session.customer_id, top_up_id)
    if found.state != "action_required" or found.card_id is None:
        return page.go(f"/top-ups/{top_up_id}")
    if page.posted:
        return await top_up.pay_saved(page, page.payment_context(), top_up_id, found.card_id)
    async with page.deps.database.transaction() as tx:
        asset = await page.deps.catalogue.get(tx, found.asset)
        card = await cards.store.get(tx, page.session.customer_id, found.card_id)
    assert found.expires_at is not None
    return page.show(
        "confirm.html",
        {
            "amount": page.words.cash(found.amount_minor, found.currency),
            "name": page.words.asset(asset),
            "units": page.words.amount(found.units, asset),
            "card": card.label,
            "automatic": found.kind == "automatic",
            "unusual": found.awaits_approval and found.asked == "unusual_use",
            "asked": i18n.reasons.asked(page.words, found.asked) if found.awaits_approval else None,
            "until": page.words.moment(found.expires_at),
        },
    )


async def receipt(page: Page) -> Response:
    """A paid top-up on paper: who, what, when, which card."""
    top_up_id = page.request.path_params["top_up_id"]
    _only_its_own(page, top_up_id)
    async with page.deps.database.transaction() as tx:
        found = await top_ups.store.get(tx, page.session.customer_id, top_up_id)
        payment = await top_ups.store.paid_by(tx, found)
        asset = await page.deps.catalogue.get(tx, found.asset)
        if payment is None:
            raise Refused("top_up_not_found", "This top-up has not been paid.")
        card = None if payment.card_id is None else await cards.store.get(tx, found.customer_id, payment.card_id)
    words = page.words
    facts = [
        (words.t("Paid to"), page.deps.settings.merchant),
        (words.t("Paid by"), page.session.customer_name),
        (words.t("Date"), words.moment(payment.closed_at or found.requested_at)),
        (words.t("You paid"), words.cash(payment.amount_minor, payment.currency)),
        (words.t("You received"), words.amount(found.units, asset)),
        *([] if found.bonus is None else [(words.t("Bonus"), top_up.bonus_text(page, asset, found.bonus))]),
        (words.t("Card"), words.t("A card given on Stripe's page") if card is None else card.label),
        (words.t("Kind"), words.t("Auto top-up") if found.kind == "automatic" else words.t("Top-up")),
        (words.t("Reference"), found.top_up_id),
    ]
    return page.show("receipt.html", {"facts": facts, "stripe_url": payment.receipt_url})
