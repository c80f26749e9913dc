"""A payment that was declined: counted on its card, then tried again, with the other card, or given up.

All in the transaction that read it. No network here.
"""

from brimful import auto_top_up, cards, ledger, top_ups
from brimful.auto_top_up.backup import Cards
from brimful.cards.store import Card
from brimful.core import ids
from brimful.db.pool import Tx
from brimful.gateway import declines
from brimful.gateway.declines import DeclineKind
from brimful.gateway.gateway import Decline
from brimful.notifications import events
from brimful.notifications.events import Topic
from brimful.payments.context import PaymentContext
from brimful.top_ups.model import Payment, State, TopUp

_UNSENT_WAITS_S = (2.0, 30.0, 300.0, 3600.0)
# A card that cannot be charged as it is, by what was declined: why its rules pause.
_PAUSES = {DeclineKind.HARD: "card_declined", DeclineKind.DATA: "card_data"}


async def count(tx: Tx, payment: Payment, decline: Decline) -> None:
    """Keep a decline with its payment, and count it on its card."""
    await top_ups.store.save_payment(
        tx, payment, error_code=decline.code, decline_code=decline.decline_code, advice_code=decline.advice_code
    )
    card = None if payment.card_id is None else await cards.store.get(tx, payment.customer_id, payment.card_id)
    expiry, kind = "" if card is None else card.expiry, _kind(payment, card, decline)
    await cards.decline_budget.record_decline(tx, payment.payment_id, kind, expiry)


def _kind(payment: Payment, card: Card | None, decline: Decline) -> DeclineKind:
    alone = payment.presence == "off_session"
    return declines.classify(decline, needs_mandate=alone and card is not None and card.needs_mandate)


async def decide(
    context: PaymentContext, tx: Tx, account: ledger.accounts.Account, top_up: TopUp, payment: Payment, decline: Decline
) -> None:
    """What comes next for the top-up, and the pause: the decline has been counted."""
    card = None if payment.card_id is None else await cards.store.get(tx, payment.customer_id, payment.card_id)
    kind = _kind(payment, card, decline)
    reason, card_id, pause_reason = decline.reason, top_up.card_id, None
    next_state: State
    if payment.presence == "on_session":
        next_state, card_id = await _present(tx, top_up, payment, kind, reason)
        if next_state == "failed" and payment.card_id is not None:
            pause_reason = _PAUSES.get(kind)
    else:
        following, card_id = await _next(context, tx, top_up, payment, kind, reason)
        next_state = _STATES[following]
        if following == "ask":
            reason = "authentication_required"
        elif following == "fail":
            pause_reason = _PAUSES.get(kind, "declined")
    await top_ups.store.move(
        tx, top_up, "canceling", recover_in_s=30, next_state=next_state, reason=reason, tries=top_up.tries + 1,
        card_id=card_id,
    )  # fmt: skip
    if pause_reason is not None and top_up.kind == "automatic":
        await auto_top_up.pauses.pause(tx, top_up.customer_id, top_up.asset, pause_reason, card_id=payment.card_id)
    await lose_card(context, tx, payment, decline)
    await auto_top_up.evaluate.reevaluate(tx, [account.key], context.pace)


async def _present(tx: Tx, top_up: TopUp, payment: Payment, kind: DeclineKind, reason: str) -> tuple[State, str | None]:
    """What comes next with the customer present: they may try again, with their other card if this one is lost."""
    if kind not in _PAUSES:
        return after_presence(top_up), top_up.card_id
    doubted = reason in auto_top_up.backup.NEVER_AFTER
    other = None if doubted else await other_card(tx, top_up, payment.card_id)
    return ("failed", top_up.card_id) if other is None else ("action_required", other)


_STATES: dict[auto_top_up.backup.Next, State] = {
    "backup": "retry_wait", "retry": "retry_wait", "ask": "action_required", "fail": "failed",
}  # fmt: skip


def after_presence(top_up: TopUp) -> State:
    """With the customer present a failure shows at once; they may try an automatic top-up again."""
    return "action_required" if top_up.kind == "automatic" else "failed"


async def _next(
    context: PaymentContext, tx: Tx, top_up: TopUp, payment: Payment, kind: DeclineKind, reason: str
) -> tuple[auto_top_up.backup.Next, str | None]:
    """What comes next without the customer, and the card that is charged then."""
    first, backup = await _cards(tx, top_up)
    on_backup = backup is not None and payment.card_id == backup.card_id
    first_ready = (on_backup or kind not in _PAUSES) and await _ready(tx, first)
    first_decides = on_backup and first_ready and kind is not DeclineKind.TECHNICAL
    again = first.card_id if first_decides else top_up.card_id
    kinds = await _kinds(tx, top_up, first if again == first.card_id else backup)
    standing = Cards(
        on_backup=on_backup,
        first_ready=first_ready,
        backup_ready=backup is not None and backup.fingerprint != first.fingerprint and await _ready(tx, backup),
        first_asks=first_decides and bool(kinds) and kinds[-1] is DeclineKind.AUTHENTICATE,
    )
    left = not kinds or _wait(context, kinds) is not None  # a card that was not tried yet has its first try
    following = auto_top_up.backup.after_decline(kind, reason, standing, retries_left=left)
    if following == "backup" and backup is not None:
        return following, backup.card_id
    return following, again


async def _cards(tx: Tx, top_up: TopUp) -> tuple[Card, Card | None]:
    """The two cards that its customer agreed to."""
    assert top_up.consent_id is not None
    ids_ = await cards.consents.cards_of(tx, top_up.customer_id, top_up.consent_id)
    first, *others = [await cards.store.get(tx, top_up.customer_id, card_id) for card_id in ids_ if card_id is not None]
    return first, others[0] if others else None


async def _ready(tx: Tx, card: Card) -> bool:
    """Whether a card may be charged now: here, and by what its plastic went through."""
    if card.state != "active" or await cards.decline_budget.forbidden(tx, card.fingerprint, card.expiry):
        return False
    return await cards.decline_budget.count_declines(tx, card.fingerprint) < cards.decline_budget.DECLINES_MAX


async def other_card(tx: Tx, top_up: TopUp, card_id: str | None) -> str | None:
    """The card that an automatic top-up can be paid with although this one cannot be charged at all."""
    if top_up.kind != "automatic":
        return None
    for one in await _cards(tx, top_up):
        if one is not None and one.card_id != card_id and await _ready(tx, one):
            return one.card_id
    return None


async def _kinds(tx: Tx, top_up: TopUp, card: Card | None) -> list[DeclineKind]:
    """What each try of a top-up with that card was declined for, the latest last."""
    if card is None:
        return []
    found = await top_ups.store.declines_of(tx, top_up)
    return [
        declines.classify(Decline(*codes), needs_mandate=card.needs_mandate)
        for codes, tried in found
        if tried == card.card_id
    ]


def _wait(context: PaymentContext, kinds: list[DeclineKind]) -> float | None:
    technical = kinds.count(DeclineKind.TECHNICAL)
    wait = auto_top_up.retries.wait_after(kinds[-1], technical, len(kinds) - technical, context.retry_waits)
    return None if wait is None else wait.total_seconds()


async def retry_in_s(context: PaymentContext, tx: Tx, top_up: TopUp) -> float:
    """Hours after a decline, at once where the other card is next; after payments that never arrived, longer each
    time.
    """
    if top_up.reason == "not_sent":
        unsent = await top_ups.store.count_payments(tx, top_up) - top_up.tries
        return _UNSENT_WAITS_S[min(max(unsent, 1), len(_UNSENT_WAITS_S)) - 1]
    first, backup = await _cards(tx, top_up)
    on_backup = backup is not None and top_up.card_id == backup.card_id
    found, kinds = await top_ups.store.declines_of(tx, top_up), await _kinds(tx, top_up, backup if on_backup else first)
    if not kinds or (on_backup and 2 * len(kinds) < len(found)):  # once for each of the first's
        return 0.0
    wait = _wait(context, kinds) or 0.0
    # What failed for many at once comes back to an issuer spread out.
    return wait * (ids.spread(f"{top_up.top_up_id}{top_up.tries}") if kinds[-1] is DeclineKind.TECHNICAL else 1.0)


async def lose_card(context: PaymentContext, tx: Tx, payment: Payment, decline: Decline) -> None:
    """Declined for good, or for what is saved of it: the card is blocked, and every rule that has no other card pauses.
    For the plastic's own fault so is every other row that has it, of whichever customer.
    """
    if payment.card_id is None:
        return
    card = await cards.store.get(tx, payment.customer_id, payment.card_id)
    kind = _kind(payment, card, decline)
    if kind not in _PAUSES:
        return
    reason = _PAUSES[kind] if kind is DeclineKind.DATA else decline.reason
    await cards.store.block(tx, payment.customer_id, payment.card_id, reason)
    card = await cards.store.get(tx, payment.customer_id, payment.card_id)
    doubted = decline.reason in auto_top_up.backup.NEVER_AFTER
    await auto_top_up.pauses.card_lost(tx, card, _PAUSES[kind], context.pace, doubted=doubted)
    if kind is DeclineKind.HARD:
        await auto_top_up.pauses.plastic_lost(tx, card, decline.reason)


async def announce_backup(tx: Tx, top_up: TopUp, payment: Payment) -> None:
    """Announce that it was the backup card that paid."""
    if top_up.kind != "automatic" or top_up.consent_id is None:
        return
    first, backup = await cards.consents.cards_of(tx, top_up.customer_id, top_up.consent_id)
    if backup is not None and payment.card_id == backup:
        data = {"top_up_id": top_up.top_up_id, "asset": top_up.asset, "card_id": backup, "instead_of": first}
        await events.emit(tx, Topic.AUTO_TOP_UP_BACKUP_USED, top_up.customer_id, data)
