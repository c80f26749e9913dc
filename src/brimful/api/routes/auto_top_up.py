"""Rules, cards and consents: read here, written by nobody but the customer in the portal."""

from brimful import auto_top_up, cards, payments
from brimful.api import context, schemas
from brimful.api.context import Context, KnownCustomer, Transaction
from brimful.core.errors import Refused

router = context.router_for("Auto top-up and cards")


@router.get("/customers/{customer_id}/auto-top-ups")
async def list_rules(context: Context, tx: Transaction, customer: KnownCustomer) -> schemas.top_ups.Rules:
    """A customer's auto top-up rules."""
    rules = await auto_top_up.rules.list_rules(tx, customer.customer_id)
    return schemas.top_ups.Rules(items=[schemas.top_ups.Rule.of(rule, context.deps.pace) for rule in rules])


@router.get("/customers/{customer_id}/auto-top-ups/{asset}")
async def get_rule(context: Context, tx: Transaction, customer: KnownCustomer, asset: str) -> schemas.top_ups.Rule:
    """One rule, with why it charges or does not."""
    rule = await auto_top_up.rules.get_rule(tx, customer.customer_id, asset)
    if rule is None:
        raise Refused("not_found", "This customer has set no rule for this asset.")
    return schemas.top_ups.Rule.of(rule, context.deps.pace)


@router.get("/customers/{customer_id}/auto-top-ups/{asset}/explain")
async def explain_rule(
    context: Context, tx: Transaction, customer: KnownCustomer, asset: str
) -> schemas.explanation.Explanation:
    """Why this rule charges, or does not: the last evaluation with every fact behind it."""
    found = await payments.explain.explain(tx, customer.customer_id, asset, context.deps.pace)
    if found is None:
        raise Refused("not_found", "This customer has set no rule for this asset.")
    return schemas.explanation.Explanation.of(found)


@router.get("/customers/{customer_id}/cards")
async def list_cards(tx: Transaction, customer: KnownCustomer) -> schemas.top_ups.Cards:
    """A customer's saved cards, masked."""
    found = await cards.store.list_for(tx, customer.customer_id)
    return schemas.top_ups.Cards(items=[schemas.top_ups.Card.of(card) for card in found])


async def _refuse() -> None:
    raise AssertionError("access has refused every key")


for _path in ("auto-top-ups", "auto-top-ups/{asset}", "cards", "cards/{card_id}", "consents"):
    router.add_api_route(
        f"/customers/{{customer_id}}/{_path}",
        _refuse,
        methods=["POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
