"""What an answer says when what is available does not cover what was asked: how much there is, how much it would have
taken, and whether a top-up is on its way.
"""

from collections.abc import Collection
from typing import Any

from brimful import top_ups
from brimful.api import schemas
from brimful.core import money
from brimful.db.pool import Database
from brimful.ledger.accounts import AccountKey
from brimful.posting.model import Verdict
from brimful.top_ups.model import TopUp

CODE = "insufficient_funds"
_AMOUNT: dict[str, Any] = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
# Of an answer that tells a balance.
AVAILABLE = {**_AMOUNT, "description": "The balance less what is held."}
# Of a refusal with `insufficient_funds`, or with `budget_exceeded`.
SCHEMA: dict[str, Any] = {
    "requested": {**_AMOUNT, "description": "What it would have taken."},
    "budget": {
        "description": "The hard budget that does not cover it; of `budget_exceeded`.",
        "type": "object",
        "required": ["id", "name", "amount", "used", "held", "resets_at"],
        "properties": {
            "id": {"type": "string"},
            "name": {"type": ["string", "null"]},
            "amount": _AMOUNT,
            "used": _AMOUNT,
            "held": _AMOUNT,
            "resets_at": {"type": ["string", "null"], "format": "date-time"},
        },
    },
    "top_up": {
        "description": "The automatic top-up that is on its way, or null.",
        "anyOf": [
            {
                "type": "object",
                "required": ["id", "state", "units"],
                "properties": {"id": {"type": "string"}, "state": {"type": "string"}, "units": _AMOUNT},
            },
            {"type": "null"},
        ],
    },
}


async def on_their_way(database: Database, accounts: Collection[AccountKey]) -> dict[AccountKey, TopUp]:
    """The live automatic top-up of each of these accounts that has one."""
    if not accounts:
        return {}
    async with database.transaction() as tx:
        return await top_ups.store.live_by_accounts(tx, accounts)


def facts(verdict: Verdict, top_up: TopUp | None) -> dict[str, Any]:
    """What the answer says besides the code: amounts in the asset, as text."""
    amounts = {"balance": verdict.balance, "available": verdict.available, "requested": verdict.requested}
    found: dict[str, Any] = {name: money.text(amount) for name, amount in amounts.items() if amount is not None}
    if verdict.exceeded is not None:
        found["budget"] = schemas.budgets.Exceeded.of(verdict.exceeded).model_dump()
    if verdict.code == CODE:
        found["top_up"] = None
        if top_up is not None:
            found["top_up"] = {"id": top_up.top_up_id, "state": top_up.state, "units": money.text(top_up.units)}
    return found
