"""What happens at the provider by itself: money goes back, cards change, payments hang, or nothing answers."""

import random
from collections.abc import Callable
from typing import Any

from brimful.dev.simulation.world import SimulatedWorld
from brimful.sandbox import foreign, intents, reversals
from brimful.sandbox.switches import Switch

Met = Callable[[str], None]
Act = Callable[[SimulatedWorld, random.Random, Met], None]


def _some(world: SimulatedWorld, dice: random.Random, kind: str, **wanted: Any) -> dict[str, Any] | None:
    found = [item for item in world.sandbox.store.newest(kind)
             if all(item[name] == value for name, value in wanted.items())]  # fmt: skip
    return dice.choice(found) if found else None


def finish(world: SimulatedWorld, dice: random.Random, _met: Met) -> None:
    intent = _some(world, dice, "payment_intent", status="processing")
    if intent is not None:
        declined = "generic_decline" if dice.random() < 0.3 else None
        intents.finish(world.sandbox, intent["id"], decline_code=declined)


def hang(world: SimulatedWorld, _dice: random.Random, met: Met) -> None:
    world.sandbox.switches.active.append(Switch("payment_intents.confirm", "processing"))
    met("stays_processing")


def refund_one(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    intent = _some(world, dice, "payment_intent", status="succeeded")
    if intent is not None:
        amount = dice.choice((intent["amount"], 100, 333))
        reversals.create_refund(world.sandbox, {"payment_intent": intent["id"], "amount": amount})
        met("refund")


def refund_fails(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    refund = _some(world, dice, "refund", status="succeeded")
    if refund is not None:
        reversals.finish_refund(world.sandbox, refund["id"], status="failed")
        met("refund_fails")


def dispute(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    intent = _some(world, dice, "payment_intent", status="succeeded")
    if intent is not None and not any(item["payment_intent"] == intent["id"]
                                      for item in world.sandbox.store.newest("dispute")):  # fmt: skip
        prefix = dice.choice(("du", "dp"))
        reversals.open_dispute(world.sandbox, intent["id"], inquiry=dice.random() < 0.2, prefix=prefix)
        met("dispute")
        met(f"dispute_{prefix}")


def close_dispute(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    dispute = _some(world, dice, "dispute", status="needs_response")
    if dispute is not None:
        won = dice.random() < 0.5
        reversals.close_dispute(world.sandbox, dispute["id"], won=won)
        if won:
            met("dispute_won")


def dispute_inquired(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    inquiry = _some(world, dice, "dispute", status="warning_needs_response")
    if inquiry is not None:
        reversals.escalate_inquiry(world.sandbox, inquiry["id"])
        met("inquiry_escalates")


def others(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    """Another product on the same account: with metadata like ours, or with none."""
    kind = dice.choice(("payment", "open_payment", "refund", "dispute", "warning", "card"))
    like_ours = {"payment_id": "pay_theirs", "customer_id": f"cus_{1:032x}", "top_up_id": "top_theirs"}
    metadata = dice.choice(({}, like_ours, {**like_ours, "installation": "ins_theirs"}))
    foreign.make(world.sandbox, {"kind": kind, "metadata": metadata})
    met("foreign_objects")


def warn(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    intent = _some(world, dice, "payment_intent", status="succeeded")
    if intent is not None:
        reversals.warn(world.sandbox, intent["id"])
        met("fraud_warning")


def detach(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    method = _some(world, dice, "payment_method")
    if method is not None and method["customer"] is not None:
        method["customer"] = None
        world.sandbox.store.save("payment_method", method)
        world.sandbox.emit("payment_method.detached", method)
        met("card_detached")


def renew(world: SimulatedWorld, dice: random.Random, met: Met) -> None:
    method = _some(world, dice, "payment_method")
    if method is not None:
        brand = dice.choice((method["card"]["brand"], "mastercard"))
        world.sandbox.renew_card(method["id"], {"exp_year": 2040, "brand": brand})
        met("card_renewed")


def outage(world: SimulatedWorld, _dice: random.Random, met: Met) -> None:
    world.provider.down = not world.provider.down
    if world.provider.down:
        met("provider_down")


ACTS: tuple[tuple[Act, float], ...] = (
    (finish, 6),
    (hang, 1),
    (refund_one, 2),
    (refund_fails, 1),
    (dispute, 1),
    (close_dispute, 1),
    (dispute_inquired, 1),
    (others, 0.7),
    (warn, 0.4),
    (detach, 0.5),
    (renew, 0.4),
    (outage, 1.5),
)
