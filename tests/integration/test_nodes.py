"""Nodes: what a node of a distributed database posts by itself, and what the coordinator posts after it.

One PostgreSQL stands for both: only what a coordinator would answer about its nodes is given here.
"""

import asyncio
import datetime as dt
from decimal import Decimal

import psycopg
import psycopg.conninfo
import pytest

from brimful import posting
from brimful.core.errors import Refused
from brimful.db.citus import nodes, shards
from brimful.db.columns import ADAPTERS
from brimful.db.pool import Database
from brimful.posting.batch import BatchWriter
from support.harness import recorder as own_recorder

PLACE = 7


@pytest.fixture
def one_node(harness, monkeypatch):
    """A cluster whose only node holds everything in one shard. Returns what was posted at the node, batch by batch."""
    known = psycopg.conninfo.conninfo_to_dict(harness.database_url)
    where = f"SELECT {PLACE} AS place, '{known['host']}' AS host, {known.get('port', 5432)} AS port"
    monkeypatch.setattr(shards, "_CITUS", "SELECT true AS here")
    monkeypatch.setattr(shards, "_SPREAD", "SELECT 1 AS tables")
    find = f"SELECT customer_id, {PLACE} AS place FROM unnest(%s::uuid[]) AS w (customer_id)"
    monkeypatch.setattr(shards, "_FIND", find)
    monkeypatch.setattr(nodes, "_WHERE", where)
    posted, write_at = [], BatchWriter._write_at

    async def seen(writer, node, movements):
        done = await write_at(writer, node, movements)
        posted.append([movements[number].key for number in sorted(done)])
        return done

    monkeypatch.setattr(BatchWriter, "_write_at", seen)
    return posted


@pytest.fixture
async def recorder(harness, one_node):
    database = Database(harness.database_url, "brimful_api", pool_max=4, options=posting.group_commit.PLANS)
    await database.open()
    recorder = own_recorder(database, batch_max=100, queue_max=1000, writers=2)
    recorder.start()
    yield recorder
    await recorder.stop()
    await database.close()


async def opened(recorder, customer_id):
    """Wait until there is a connection to the node. Until then the coordinator posts."""
    known = recorder._writer._nodes
    for number in range(1000):
        await recorder.submit([use(customer_id, f"before-{number}", "0.000001")])
        if known._open:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no connection")


def use(customer_id, key, amount="1", asset="USD", kind="usage"):
    return posting.model.Movement(kind, customer_id, asset, key, -Decimal(amount))


async def test_what_crosses_nothing_is_posted_by_the_node_alone(harness, recorder, one_node):
    customer_id, _ = await harness.funded(balance=30, threshold="10")
    await opened(recorder, customer_id)
    one_node.clear()
    first = await recorder.submit([use(customer_id, "a"), use(customer_id, "b"), use(customer_id, "a")])
    assert [verdict.outcome for verdict in first] == ["applied", "applied", "duplicate"]
    assert one_node == [["a", "b", "a"]]
    [again] = await recorder.submit([use(customer_id, "b", "2")])
    assert again.code == "key_reused"


async def test_what_needs_more_than_a_customers_rows_is_posted_by_the_coordinator(harness, recorder, one_node):
    """A crossing, a first use without an account, a hold: with all else that is these customers'."""
    crossing, _ = await harness.funded(balance=12, threshold="10")
    plain, holding, new = [await harness.customer(name) for name in ("Plain", "Holding", "New")]
    for customer_id in (plain, holding):
        await harness.give(customer_id, 30)
    await opened(recorder, plain)
    one_node.clear()
    hold = use(holding, "held", "5", kind="hold")._replace(expires_in=dt.timedelta(minutes=5))
    verdicts = await recorder.submit([
        use(crossing, "small", "0.5"), use(plain, "plain"), use(crossing, "over", "3"), use(new, "first"),
        use(holding, "beside"), hold,
    ])  # fmt: skip
    assert [verdict.outcome for verdict in verdicts] == ["applied"] * 6
    assert one_node == [["plain"]]
    assert [top_up["kind"] for top_up in await harness.top_ups(crossing)] == ["automatic"]
    assert verdicts[2].balance == Decimal("8.5")
    assert await harness.balance(new) == Decimal(-1)


async def test_one_id_on_two_balances_is_used_once_also_when_only_one_of_them_crosses(harness, recorder, one_node):
    await harness.call("POST", "/assets", {"code": "CREDIT", "name": "Credits", "precision": 2}, expect=201)
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.give(customer_id, 100, asset="CREDIT")
    await opened(recorder, customer_id)
    one_node.clear()
    verdicts = await recorder.submit([use(customer_id, "same", "3"), use(customer_id, "same", "3", asset="CREDIT")])
    assert [(verdict.outcome, verdict.code) for verdict in verdicts] == [("applied", None), ("refused", "key_reused")]
    assert one_node == [[]]


async def test_a_node_keeps_no_words_of_the_erased_either(harness, recorder, one_node):
    customer_id = await harness.customer()
    await harness.give(customer_id, 30)
    await opened(recorder, customer_id)
    said = use(customer_id, "before")._replace(description="a novel")
    await recorder.submit([said])
    assert len(await harness.sql("SELECT 1 FROM entry_notes WHERE description = 'a novel'")) == 1
    await harness.sql("UPDATE accounts SET erased = true")
    one_node.clear()
    await recorder.submit([said._replace(key="after")])
    assert one_node == [["after"]]
    assert len(await harness.sql("SELECT 1 FROM entry_notes WHERE description = 'a novel'")) == 1


async def test_what_the_node_has_posted_stays_posted_when_the_rest_fails(harness, recorder, one_node):
    plain, broken = [await harness.customer(name) for name in ("Plain", "Broken")]
    for customer_id in (plain, broken):
        await harness.give(customer_id, 30)
    await opened(recorder, plain)
    one_node.clear()
    verdicts = await recorder.submit([use(plain, "plain"), use(broken, "no end", kind="hold")])  # a fault of ours
    assert [(verdict.outcome, verdict.code) for verdict in verdicts] == [("applied", None), ("refused", "event_failed")]
    assert one_node == [["plain"]]


async def test_an_account_that_somebody_holds_keeps_nobody_else_waiting_at_a_node(harness, recorder):
    held, free = [await harness.customer(name) for name in ("Held", "Free")]
    for customer_id in (held, free):
        await harness.give(customer_id, 30)
    await opened(recorder, free)
    async with await psycopg.AsyncConnection.connect(harness.database_url, context=ADAPTERS) as somebody:
        await somebody.execute("SELECT 1 FROM accounts WHERE customer_id = %s FOR UPDATE", (held,))
        waits = asyncio.create_task(recorder.submit([use(held, "waits")]))
        [[done], *_] = await asyncio.gather(*(recorder.submit([use(free, f"goes on {n}")]) for n in range(5)))
        assert (done.outcome, waits.done()) == ("applied", False)
    [verdict] = await waits
    assert verdict.outcome == "applied"


async def test_a_node_that_stops_answering_costs_one_answer_and_no_debit(harness, recorder):
    customer_id, _ = await harness.funded(balance=30, threshold="10")
    await opened(recorder, customer_id)
    before = await harness.balance(customer_id)
    [node] = recorder._writer._nodes._open.values()
    await node.close()
    with pytest.raises(Refused) as refused:
        await recorder.submit([use(customer_id, "again")])
    assert refused.value.status == 503
    [verdict] = await recorder.submit([use(customer_id, "again")])  # by the coordinator
    assert (verdict.outcome, await harness.balance(customer_id)) == ("applied", before - 1)


async def test_a_node_that_cannot_post_leaves_it_to_the_coordinator(harness, recorder, monkeypatch):
    customer_id, _ = await harness.funded(balance=30, threshold="10")
    elsewhere = psycopg.conninfo.make_conninfo(harness.database_url, dbname="postgres")
    monkeypatch.setattr(Database, "at", lambda *_: Database(elsewhere, "brimful_api"))  # it has none of the tables
    tried, drop = [], nodes.NodeConnections.drop
    monkeypatch.setattr(nodes.NodeConnections, "drop", lambda known, place: (tried.append(place), drop(known, place)))
    for number in range(1000):
        [verdict] = await recorder.submit([use(customer_id, f"use-{number}", "0.000001")])
        assert verdict.outcome == "applied"
        if tried:
            break
        await asyncio.sleep(0.01)
    assert tried == [PLACE]
    assert not recorder._writer._nodes._open
