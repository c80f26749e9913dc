"""A harness with somebody who has one of everything, and somebody else who has nothing."""

import re

from brimful.auth import api_keys
from support.harness import HOME

__all__ = ["SCOPES", "everything_allowed", "filled", "key_with", "one_of_everything"]

SCOPES = (*api_keys.SCOPES, *api_keys.RARE_SCOPES)


async def key_with(harness, scopes):
    """An API key with just these scopes."""
    async with harness.engine.database.transaction() as tx:
        await tx.execute("SET LOCAL ROLE brimful_api")
        return await api_keys.create(tx, name="narrow", scopes=scopes)


async def everything_allowed(harness):
    """The platform's key has every scope from now on."""
    harness.api.headers["Authorization"] = f"Bearer {await key_with(harness, SCOPES)}"


async def one_of_everything(harness):
    """Somebody who has one of everything, by the names of the paths; and somebody else."""
    ada, visitor = await harness.funded(
        balance="31.4159", name="Ada Lovelace", threshold="10", number="4000000000009995"
    )
    await harness.use(ada, "25", "crossing")
    await harness.work()
    [top_up] = await harness.top_ups(ada)
    [card] = await harness.sql("SELECT card_id FROM cards")
    [setup] = await harness.sql("SELECT setup_id FROM card_setups")
    [consent] = await harness.sql("SELECT consent_id FROM consents WHERE kind = 'auto_top_up'")
    hook = await harness.call("POST", "/webhooks", {"url": "https://hooks.example/x", "topics": ["*"]}, expect=201)
    [event] = await harness.sql("SELECT event_id FROM outgoing_events LIMIT 1")
    hold = {"id": "job-1", "asset": "USD", "amount": "1"}
    await harness.call("POST", f"/customers/{ada}/wallet/holds", hold, expect=201)
    budget = {"asset": "USD", "amount": "500", "window": "month"}
    await harness.call("PUT", f"/customers/{ada}/budgets/all-use", budget, expect=200)
    path = f"/customers/{ada}/wallet/default:USD/grants"
    [grant, *_] = (await harness.call("GET", path, expect=200))["items"]
    wanted = {"customer_id": ada, "amount": "40", "currency": "USD", "return_url": HOME, "failure_url": HOME}
    paid = await harness.call("POST", "/top-ups", wanted, expect=201)
    return {
        "customer_id": ada, "asset": "USD", "code": "USD", "account_id": "default:USD", "hold_id": "job-1",
        "budget_id": "all-use", "grant_id": grant["id"], "dispute_id": "du_x",
        "transaction_id": "gift-USD-31.4159", "top_up_id": top_up["id"], "card_id": card["card_id"],
        "setup_id": setup["setup_id"], "consent_id": consent["consent_id"], "webhook_id": hook["id"],
        "endpoint_id": hook["id"], "event_id": event["event_id"], "topic": "balance.low", "token": "x" * 43,
        "segment": "enterprise",
        "grace": await harness.customer("Grace"), "pay_link": paid["redirect_url"], "paid": paid["id"],
    }  # fmt: skip


def filled(path, things, **more):
    return re.sub(r"\{(\w+)\}", lambda match: {**things, **more}[match[1]], path)
