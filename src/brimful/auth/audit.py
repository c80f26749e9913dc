"""The audit trail: who changed what a person may ask about later."""

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from brimful.core import ids
from brimful.core.ids import CustomerId
from brimful.db.pool import Tx

_INSERT = """
    INSERT INTO audit (audit_id, at, actor, action, customer_id, before, after) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


async def record(
    tx: Tx,
    *,
    actor: str,
    action: str,
    customer_id: CustomerId | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add a line to the trail, in the transaction of the change itself."""
    await tx.execute(
        _INSERT,
        (
            ids.new("evt"),
            await tx.now(),
            actor,
            action,
            customer_id,
            None if before is None else Jsonb(dict(before)),
            None if after is None else Jsonb(dict(after)),
        ),
    )
