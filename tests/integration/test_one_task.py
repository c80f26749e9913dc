"""On a real cluster: each statement of a debit, and of a crossing up to its credit, asks one node.

What no parser can know (`tests/schema/test_shape.py`), the coordinator shows by its plan. Only on a distributed
database: `make test DATABASE_URL=... ARGS='-m nodes'`.
"""

import re

import psycopg
import pytest

from brimful.db.citus.distribute import DISTRIBUTED
from brimful.db.columns import ADAPTERS
from brimful.db.pool import Tx

pytestmark = pytest.mark.nodes
TABLES = re.compile(rf"\b(?:{'|'.join(DISTRIBUTED)})\b")
TASKS = re.compile(r"Task Count: (\d+)")
# Rows that are given: nothing is asked, and each goes to its node.
GIVEN = re.compile(r"\(Citus INSERT \.\.\. SELECT\).*\n.*pull to coordinator\n  ->  Function Scan")


@pytest.fixture
def sent(monkeypatch):
    """Every statement that our transactions send, with the values of its first time."""
    seen, send = {}, Tx._send

    async def noted(tx, *statements):
        for sql, params in [*((sql, params) for sql, params, _ in tx._waiting), *statements]:
            if TABLES.search(sql):
                seen.setdefault(sql, params)
        return await send(tx, *statements)

    monkeypatch.setattr(Tx, "_send", noted)
    return seen


def asked(url, sql, params):
    """How many tasks the coordinator makes of it, and the plan."""
    with psycopg.connect(url, context=ADAPTERS) as connection:
        plan = "\n".join(line for (line,) in connection.execute("EXPLAIN " + sql, params))
    return 1 if GIVEN.search(plan) else sum(map(int, TASKS.findall(plan))), plan


async def test_a_debit_and_a_crossing_up_to_its_credit_ask_one_node_at_a_time(harness, sent):
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "11"}, expect=200)
    sent.clear()
    await harness.use(customer_id, "0.25", "a debit")
    await harness.use(customer_id, "2", "the crossing")
    await harness.work()
    assert await harness.balance(customer_id) > 30
    assert len(sent) > 25
    plans = {sql: asked(harness.database_url, sql, params) for sql, params in sent.items()}
    many = [f"{sql}\n{plan}" for sql, (tasks, plan) in plans.items() if tasks != 1]
    assert not many, "\n\n".join(many)
