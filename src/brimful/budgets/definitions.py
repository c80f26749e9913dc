"""What budgets there are: read once, and remembered for as long as nothing of the account's changes."""

import collections
from collections.abc import Collection, Mapping
from decimal import Decimal

from brimful.budgets import model
from brimful.budgets.model import Budget, Family, Zoned
from brimful.core import money
from brimful.core.ids import CustomerId
from brimful.db.columns import CustomerIds, Texts
from brimful.db.pool import Row, Tx
from brimful.ledger.accounts import Account, AccountKey

COLUMNS = ", ".join(f"b.{name}" for name in Budget._fields)
Families = dict[tuple[AccountKey, str], Family]  # by account and tag

# LATERAL, and each customer asked for once more: look-ups by key, and a coordinator knows the node.
_FIND = f"""
    WITH named AS (
        SELECT b.* FROM unnest(%(customers)s::uuid[], %(assets)s::text[], %(tags)s::text[])
            AS t (customer_id, asset, tag)
        CROSS JOIN LATERAL (
            SELECT * FROM budgets AS f
            WHERE f.customer_id = t.customer_id AND f.asset = t.asset AND f.tag = t.tag AND f.ended_at IS NULL
                AND f.customer_id = ANY(%(customers)s)
            LIMIT {2 * model.ALIKE_MAX}
        ) AS b
    ), family AS (
        SELECT n.*, n.tag AS for_tag FROM named AS n
        UNION ALL
        SELECT a.*, n.tag FROM named AS n
        CROSS JOIN LATERAL (
            SELECT * FROM budgets AS f
            WHERE f.customer_id = n.customer_id AND f.budget_id = ANY(n.ancestors)
                AND f.customer_id = ANY(%(customers)s)
            LIMIT {model.DEPTH_MAX}
        ) AS a
    )
    SELECT {COLUMNS}, b.for_tag, c.time_zone
    FROM family AS b
    JOIN customers AS c ON c.customer_id = b.customer_id AND c.customer_id = ANY(%(customers)s)
"""
_BY_ID = f"""
    SELECT {COLUMNS}, c.time_zone
    FROM unnest(%(customers)s::uuid[], %(ids)s::text[]) AS t (customer_id, budget_id)
    CROSS JOIN LATERAL (
        SELECT * FROM budgets AS f WHERE f.customer_id = t.customer_id AND f.budget_id = t.budget_id
            AND f.customer_id = ANY(%(customers)s)
        LIMIT 1
    ) AS b
    JOIN customers AS c ON c.customer_id = b.customer_id AND c.customer_id = ANY(%(customers)s)
"""


class Definitions:
    """Budgets by account and tag, as of an account's version. One per process.

    Args:
        most: accounts and tags that are remembered, the latest used.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._known: collections.OrderedDict[tuple[AccountKey, str], tuple[int, Family]] = collections.OrderedDict()

    async def read(self, tx: Tx, wanted: Mapping[tuple[AccountKey, str], Account]) -> Families:
        """The budgets that stand for these accounts and tags, and those above them. The accounts are locked."""
        found, missing = Families(), dict[tuple[AccountKey, str], Account]()
        for key, account in wanted.items():
            known = self._known.get(key)
            if known is None or known[0] != account.budgets_version:
                missing[key] = account
            else:
                found[key] = known[1]
        if missing:
            found |= await self._look_up(tx, missing)
        return found

    async def _look_up(self, tx: Tx, missing: Mapping[tuple[AccountKey, str], Account]) -> Families:
        pairs = sorted(missing)
        values = {
            "customers": CustomerIds(key[0] for key, _ in pairs),
            "assets": Texts(key[1] for key, _ in pairs),
            "tags": Texts(tag for _, tag in pairs),
        }
        named: dict[tuple[AccountKey, str], dict[str, Zoned]] = {key: {} for key in missing}
        for row in await tx.all(_FIND, values):
            budget = budget_of(row)
            key = (budget.customer_id, budget.asset), row["for_tag"]
            named[key][budget.budget_id] = budget, row["time_zone"]
        found = {key: _family(family) for key, family in named.items()}
        for key, account in missing.items():
            self._known[key] = account.budgets_version, found[key]
            self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return found


def _family(named: Mapping[str, Zoned]) -> Family:
    budgets = tuple(named[name] for name in sorted(named))
    return Family(budgets, tuple(sorted({budget.bundle for budget, _ in budgets})))


async def of_ids(tx: Tx, wanted: Collection[tuple[CustomerId, str]]) -> dict[tuple[CustomerId, str], Zoned]:
    """These budgets, also those that have ended."""
    customers, names = zip(*sorted(wanted), strict=True)
    rows = await tx.all(_BY_ID, {"customers": CustomerIds(customers), "ids": Texts(names)})
    return {(row["customer_id"], row["budget_id"]): (budget_of(row), row["time_zone"]) for row in rows}


def budget_of(row: Row) -> Budget:
    """A budget as it is kept."""
    plain = {"ancestors": tuple(row["ancestors"]), "amount": Decimal(money.text(row["amount"]))}
    return Budget(**{**{name: row[name] for name in Budget._fields}, **plain})
