"""Rules, cards and consents: read here, written by nobody but the customer in the portal."""

from brimful import auto_topup, cards, customers, explain
from brimful.api import given
from brimful.api.door import DoorOf, router_for
from brimful.errors import Refused

__all__ = ["router"]

router = router_for("Auto top-up and cards")


@router.get("/customers/{customer_id}/auto-top-ups")
async def list_rules(door: DoorOf, customer_id: str) -> given.Rules:
    """A customer's auto top-up rules."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        rules = await auto_topup.list_rules(tx, customer_id)
    return given.Rules(items=[given.Rule.of(rule) for rule in rules])


@router.get("/customers/{customer_id}/auto-top-ups/{asset}")
async def get_rule(door: DoorOf, customer_id: str, asset: str) -> given.Rule:
    """One rule, with why it charges or does not."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        rule = await auto_topup.get_rule(tx, customer_id, asset)
    if rule is None:
        raise Refused("not_found", "This customer has set no rule for this asset.")
    return given.Rule.of(rule)


@router.get("/customers/{customer_id}/auto-top-ups/{asset}/explain")
async def explain_rule(door: DoorOf, customer_id: str, asset: str) -> given.Explanation:
    """Why this rule charges, or does not: the last judgement with every fact behind it."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        found = await explain.explain(tx, customer_id, asset, door.deps.pace)
    if found is None:
        raise Refused("not_found", "This customer has set no rule for this asset.")
    return given.Explanation(**found.shown())


@router.get("/customers/{customer_id}/cards")
async def list_cards(door: DoorOf, customer_id: str) -> given.Cards:
    """A customer's saved cards, masked."""
    async with door.deps.database.transaction() as tx:
        await customers.get(tx, customer_id)
        found = await cards.list_for(tx, customer_id)
    return given.Cards(items=[given.Card.of(card) for card in found])


async def _refuse() -> None:
    raise AssertionError("access has refused every key")


for _path in ("auto-top-ups", "auto-top-ups/{asset}", "cards", "cards/{card_id}", "consents"):
    router.add_api_route(
        f"/customers/{{customer_id}}/{_path}",
        _refuse,
        methods=["POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
