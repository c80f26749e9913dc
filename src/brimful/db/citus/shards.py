"""Where customers' rows lie. In one transaction a node can only work on what is its own, so work is put together by
shard where the database is distributed; on a plain PostgreSQL everything is in one place.
"""

import asyncio
from collections.abc import Collection, Mapping

from brimful.core.ids import CustomerId
from brimful.db.pool import Database

_CITUS = "SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL AS here"
_SPREAD = "SELECT count(*) AS tables FROM pg_dist_partition WHERE logicalrelid = 'accounts'::regclass"
_FIND = """
    SELECT customer_id, get_shard_id_for_distribution_column('accounts', customer_id) AS place
    FROM unnest(%s::uuid[]) AS wanted (customer_id)
"""
_KNOWN_MAX = 1_000_000  # customers, some 100 bytes each
HERE = 0  # a database that is not distributed


class Shards:
    """Asks once whether the database is distributed, then once for each customer. `forget` when an answer was wrong:
    shards are split, and a database is distributed, while processes run.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._spread: bool | None = None
        self._known: dict[CustomerId, int] = {}
        self._wanted: set[CustomerId] = set()
        self._asking: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """Forget all answers: everything is asked again."""
        self._spread = None
        self._known = {}

    def at_once(self, customers: Collection[CustomerId]) -> Mapping[CustomerId, int] | None:
        """The place of each, if that is known without asking."""
        if self._spread is False:
            return dict.fromkeys(customers, HERE)
        known = self._known
        if self._spread is None or not all(customer in known for customer in customers):
            return None
        return {customer: known[customer] for customer in customers}

    async def of(self, customers: Collection[CustomerId]) -> Mapping[CustomerId, int]:
        """The place of each. Callers that come while one is asking are answered together, by one query."""
        found = self.at_once(customers)
        while found is None:
            self._wanted.update(customers)
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask(), name="places")
            await asyncio.shield(self._asking)
            found = self.at_once(customers)
        return found

    async def _ask(self) -> None:
        try:
            async with self._database.transaction() as tx:
                if self._spread is None:
                    citus, spread = await tx.one(_CITUS), None
                    if citus is not None and citus["here"]:
                        spread = await tx.one(_SPREAD)
                    self._spread = spread is not None and spread["tables"] > 0
                if self._spread:
                    wanted = [customer for customer in self._wanted if customer not in self._known]
                    self._wanted = set()
                    rows = await tx.all(_FIND, (wanted,))
                    if len(self._known) > _KNOWN_MAX:
                        self._known = {}
                    self._known |= {row["customer_id"]: row["place"] for row in rows}
        finally:
            self._asking = None
