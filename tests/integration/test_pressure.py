"""The hot path under pressure: a bounded queue, two posters, and nothing acknowledged that is not committed."""

import asyncio
import datetime as dt
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from brimful import posting
from brimful.core.errors import Refused
from brimful.core.ids import NOBODY
from brimful.db.columns import ADAPTERS, Bytes, Moments, Numbers, Texts
from brimful.db.pool import Database
from support.harness import recorder as own_recorder

ZONES = (dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30)))


@pytest.fixture
async def database(harness):
    opened = Database(harness.database_url, "brimful_api", pool_max=2, options=posting.group_commit.PLANS)
    await opened.open()
    yield opened
    await opened.close()


def debit(customer_id, key):
    return posting.model.Movement("usage", customer_id, "USD", key, Decimal("-0.01"))


async def test_a_full_queue_refuses_and_loses_nothing_it_took(harness, database):
    customer_id, _ = await harness.funded(balance=100, threshold="10")
    recorder = own_recorder(database, batch_max=10, queue_max=20, writers=2)
    recorder.start()
    async with await psycopg.AsyncConnection.connect(harness.database_url, context=ADAPTERS) as other:
        await other.execute("SELECT 1 FROM accounts FOR UPDATE")  # both posters will wait here
        asked = [asyncio.create_task(recorder.submit([debit(customer_id, f"p-{n}")])) for n in range(200)]
        refused = [task for task in asked if (await asyncio.wait([task], timeout=0.01))[0]]
        assert 0 < len(refused) < 200
        await other.rollback()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    taken = [answer for answer in answers if not isinstance(answer, Exception)]
    assert all(isinstance(answer, Refused) and answer.code == "unavailable" and answer.status == 503
               for answer in answers if isinstance(answer, Exception))  # fmt: skip
    assert 20 <= len(taken) < 200
    written = await harness.sql("SELECT count(*) AS n FROM entries WHERE key LIKE 'p-%'")
    assert written[0]["n"] == len(taken)
    again = await recorder.submit([debit(customer_id, f"p-{n}") for n in range(10)])  # the same ids, in a moment
    assert {verdict.outcome for verdict in again} <= {"applied", "duplicate"}
    await recorder.stop()


async def test_the_same_key_through_both_posters_is_one_debit(harness, database):
    """I7."""
    customer_id, _ = await harness.funded(balance=100, threshold="10")
    recorder = own_recorder(database, batch_max=1, queue_max=1000, writers=2)
    recorder.start()
    answers = await asyncio.gather(*(recorder.submit([debit(customer_id, f"twice-{n // 2}")]) for n in range(40)))
    await recorder.stop()
    assert sorted(verdict.outcome for [verdict] in answers) == ["applied"] * 20 + ["duplicate"] * 20
    assert await harness.balance(customer_id) == Decimal("99.8")


async def test_an_error_that_was_swallowed_is_not_taken_for_a_commit(database):
    with pytest.raises(psycopg.InternalError, match="not committed"):
        async with database.transaction() as tx:
            with pytest.raises(psycopg.errors.DivisionByZero):
                await tx.one("SELECT 1 / 0")


@pytest.mark.tampers
@pytest.mark.parametrize("reads_on", [True, False])
async def test_a_deferred_write_that_misses_its_row_takes_everything_back(harness, database, reads_on):
    """Also when nothing but the commit follows it: the two must not share a trip."""
    customer_id, _ = await harness.funded(balance=100, threshold="10")
    with pytest.raises(AssertionError, match="0 rows, not 1"):
        async with database.transaction() as tx:
            tx.later("UPDATE accounts SET balance = 0 WHERE customer_id = %s", (customer_id,), rows=1)
            tx.later("UPDATE accounts SET balance = 0 WHERE customer_id = %s", (NOBODY,), rows=1)
            if reads_on:
                await tx.one("SELECT 1")
    assert await harness.balance(customer_id) == Decimal(100)


ODD_TIMES = ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-23:59", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z")


@pytest.mark.parametrize("when", ODD_TIMES)
async def test_a_time_that_never_is_fails_alone(harness, when):
    """In a batch, and beside the debits of others."""
    customer_id, other = await harness.customer(), await harness.customer("Other")
    events = [{"id": f"t-{number}", "customer_id": customer_id, "asset": "USD", "amount": "1"} for number in range(3)]
    events[1]["occurred_at"] = when
    bad = [harness.call("POST", "/usage", {"events": events}) for _ in range(5)]
    good = [harness.use(other, "1", f"good-{number}") for number in range(20)]
    answers = await asyncio.gather(*good, *bad)
    assert {answer["status"] for answer in answers[:20]} == {"applied"}
    for answer in answers[20:]:
        assert [result["status"] == "refused" for result in answer["results"]] == [False, True, False]
        assert answer["results"][1]["code"] == "invalid_field"


async def test_whatever_one_movement_breaks_the_others_are_posted(harness, database, monkeypatch):
    """Not the database alone: an error of ours in one of them, too."""
    customer_id, _ = await harness.funded(balance=100, threshold="10")
    mend = posting.decide.decide

    def decide(movements, *more):
        if any(movement.key == "p-7" for movement in movements):
            raise OverflowError
        return mend(movements, *more)

    monkeypatch.setattr(posting.decide, "decide", decide)
    recorder = own_recorder(database, batch_max=50, queue_max=1000, writers=1)
    recorder.start()
    answers = await asyncio.gather(*(recorder.submit([debit(customer_id, f"p-{number}")]) for number in range(20)))
    await recorder.stop()
    failed = [number for number, [verdict] in enumerate(answers) if verdict.outcome != "applied"]
    assert failed == [7]


async def test_only_post_records_usage(harness):
    refused = await harness.call("GET", "/usage", expect=405)
    assert refused["code"] == "method_not_allowed"
    assert refused["request_id"].startswith("req_")


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    texts=st.lists(st.none() | TEXT, max_size=5),
    numbers=st.lists(st.none() | st.decimals("-1e25", "1e25", places=12), max_size=5),
    data=st.lists(st.binary(max_size=20), max_size=5),
    moments=st.lists(st.datetimes(dt.datetime(2000, 1, 1), timezones=st.sampled_from(ZONES)), max_size=5),
)
def test_columns_arrive_as_they_were(database_url, texts, numbers, data, moments):
    with psycopg.connect(database_url, context=ADAPTERS) as connection:
        row = connection.execute(
            "SELECT %s::text[], %s::numeric[], %s::bytea[], %s::timestamptz[]",
            (Texts(texts), Numbers(numbers), Bytes(data), Moments(moments)),
        ).fetchone()
    assert row == (texts, numbers, data, moments)


@pytest.mark.schema
async def test_what_could_not_be_committed_is_not_answered_as_done(harness):
    """A route's transaction ends before its answer is sent: a commit that fails is the caller's error."""
    await harness.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END'"
    )
    await harness.sql(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON customers DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    answer = await harness.api.post("/v1/customers", json={"name": "Ada"})
    assert answer.status_code == 500, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert await harness.sql("SELECT 1 FROM customers") == []


async def test_an_account_that_somebody_holds_keeps_nobody_else_waiting(harness, monkeypatch):
    """A person's psql, an erasure: its own debits wait for it, the others' are answered."""
    monkeypatch.setattr(posting.group_commit, "_ASIDE_S", 600)  # longer than a busy machine takes
    people = [await harness.customer(f"P{number}") for number in range(20)]
    for customer_id in people:
        await harness.give(customer_id, 100)
    held = people[0]
    async with await psycopg.AsyncConnection.connect(harness.database_url, context=ADAPTERS) as other:
        await other.execute("SELECT 1 FROM accounts WHERE customer_id = %s FOR UPDATE", (held,))
        waiting = [asyncio.create_task(harness.use(held, "1", f"held-{number}")) for number in range(10)]
        await asyncio.sleep(0)
        answers = await asyncio.wait_for(
            asyncio.gather(
                *(harness.use(people[1 + number % 19], "1", f"e-{number}") for number in range(190)),
            ),
            300,
        )
        assert [answer["status"] for answer in answers] == ["applied"] * 190
        assert not any(task.done() for task in waiting)
        await other.rollback()
    assert [(await task)["status"] for task in waiting] == ["applied"] * 10
    assert await harness.balance(held) == Decimal(90)
    assert [await harness.balance(one) for one in people[1:]] == [Decimal(90)] * 19


async def test_a_debit_whose_account_stays_locked_is_told_to_come_again(harness, monkeypatch):
    monkeypatch.setattr(posting.group_commit, "_ASIDE_S", 0.3)
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    event = {"id": "e", "customer_id": customer_id, "asset": "USD", "amount": "1"}
    async with await psycopg.AsyncConnection.connect(harness.database_url, context=ADAPTERS) as other:
        await other.execute("SELECT 1 FROM accounts WHERE customer_id = %s FOR UPDATE", (customer_id,))
        refused = await harness.api.post("/v1/usage", json=event)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert "locked by somebody else" in refused.json()["detail"]
    assert (await harness.use(customer_id, "1", "e"))["status"] == "applied"
    assert await harness.balance(customer_id) == Decimal(99)
