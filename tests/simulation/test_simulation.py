"""The simulation: short here, a million histories by `brimful simulate`. And the simulation itself, held to account."""

import asyncio
import datetime as dt
import decimal

import psycopg
import psycopg.rows
import pytest
from psycopg.types.json import Jsonb

from brimful import auto_top_up, budgets, leases
from brimful.db.columns import ADAPTERS
from brimful.dev.simulation import run as simulation
from brimful.dev.simulation.history import FAULTS, History
from brimful.gateway import declines
from brimful.gateway.declines import DeclineKind

# Seeds that once failed, and what they found.
REGRESSIONS = {
    "a/22": "a manual top-up whose first try had failed was looked at each minute until it expired",
    "a/235": "each overtaken poll asked for another poll: their number grew with every event",
    "ci/112": "a decline that came while its payment was taken back was neither counted nor waited for",
    "1/70294": "a poll that came after a refund's end set its next look, and the sweep asked for it each minute",
    "a/1650": "a claim granted before a hard decline was still used after it",
}


@pytest.mark.timeout(300)
def test_short_histories_hold_every_invariant_and_meet_every_kind_of_fault():
    """F1 to F51 in one process, with every order that the dice find."""
    result = simulation.simulate(histories=330, seed="a8", processes=1)
    assert result["violations"] == []
    met = [fault for fault, count in result["by_fault"].items() if count]
    assert set(FAULTS) - set(met) <= {"dispute_won", "fraud_warning", "inquiry_escalates"}  # a longer run meets them
    assert result["faults"] >= 3 * result["histories"]
    # Histories in which no debit arrives, or no payment, hold every invariant: nothing happens in them.
    assert result["debits"] >= 5 * result["histories"]
    assert result["credits"] >= result["histories"] // 2


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_what_once_failed_holds(seed):
    assert simulation.one(seed).violation is None


def test_a_seed_repeats_itself():
    assert simulation.one("again/1").digest == simulation.one("again/1").digest != simulation.one("again/2").digest


def first_violation(prefix, most=300):
    for number in range(most):
        outcome = simulation.one(f"{prefix}/{number}")
        if outcome.violation is not None:
            return outcome
    return None


GUARDS = {
    "F20, I9: what changed since is seen": (auto_top_up.policy, "superseded", lambda _facts, _version: None),
    "F33, I8: the limit is checked": (auto_top_up.charges, "room_minor", lambda _facts, _now: 10**12),
    "I17: a hard budget is checked": (budgets.counting.Counting, "exceeded", lambda *_: None),
    "I17: what a hold sets aside counts": (budgets.counting.Counting, "set_aside", lambda *_: ()),
    "leases: notice is given before the end": (leases.model, "_funds", lambda *_: ("running", None)),
    "F18: a hard decline is told from a soft one": (declines, "classify", lambda _decline, **_: DeclineKind.SOFT),
}


@pytest.mark.parametrize("name", GUARDS)
def test_it_notices_when_a_guard_is_gone(name, monkeypatch):
    room, guard, nothing = GUARDS[name]
    monkeypatch.setattr(room, guard, nothing)
    outcome = first_violation("teeth")
    assert outcome is not None
    shrunk = simulation.shrink(outcome)
    assert shrunk["violation"]
    assert len(shrunk["steps"]) <= outcome.steps


def test_it_notices_when_no_account_is_reevaluated(monkeypatch):
    """I12: an account that is below its line and forgotten."""

    async def nothing(_tx, _keys, _pace):
        return None

    monkeypatch.setattr(auto_top_up.evaluate, "reevaluate", nothing)
    assert "I12" in first_violation("rearm").violation


@pytest.mark.parametrize("number", range(10))
def test_its_tables_answer_as_postgresql_does(cluster, database_url, number):
    """Each statement of a history, with its parameters, in its transaction, on the real database: the same answers."""
    told = []
    history = History(f"twin/{number}")
    history.world.database.observe = lambda sql, params, done: told.append((sql, params, copied(done)))
    assert asyncio.run(history.run()).violation is None
    with psycopg.connect(
        database_url, row_factory=psycopg.rows.dict_row, autocommit=True, context=ADAPTERS
    ) as connection:
        connection.execute("UPDATE installation_key SET key = 'ins_simulated'")
        compared = sum(replayed(connection, *statement) for statement in told)
    assert compared > 50


def copied(done):
    return [dict(row) for row in done] if isinstance(done, list) else done


def replayed(connection, sql, params, done):
    """One thing that happened, on PostgreSQL. Returns whether there was something to compare."""
    if sql in {"BEGIN", "COMMIT", "ROLLBACK"}:
        connection.execute(sql)
        return False
    if sql in {"PUT", "PUT AGAIN"}:
        return put(connection, params, done, again=sql == "PUT AGAIN")
    cursor = connection.execute(sql, params)
    if isinstance(done, int):
        if not sql.startswith("SELECT"):
            assert cursor.rowcount == done, sql
        return True
    rows = cursor.fetchall()
    assert len(rows) == len(done), f"{sql}\n{rows}\n{done}"
    if rows:
        names = sorted(rows[0].keys() & done[0].keys())
        assert ordered(rows, names) == ordered(done, names), sql
    return True


def ordered(rows, names):
    return sorted(([plain(row[name]) for name in names] for row in rows), key=str)


def plain(value):
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC)
    if isinstance(value, decimal.Decimal):
        return value.normalize() + 0
    return tuple(value) if isinstance(value, list) else value


def put(connection, table, row, *, again):
    if table == "assets" and row["code"] == "USD":
        connection.execute(
            "UPDATE assets SET name = %(name)s, created_at = %(created_at)s, bridge_max = %(bridge_max)s "
            "WHERE code = 'USD'", row,
        )  # fmt: skip
        return False
    if again:
        connection.execute("UPDATE rates SET valid_to = %s WHERE asset = %s AND valid_to IS NULL",
                           (row["valid_to"], row["asset"]))  # fmt: skip
        return False
    if table == "cards":
        consent = {"customer_id": row["customer_id"], "consent_id": row["consent_id"]}
        connection.execute(
            "INSERT INTO consents (customer_id, consent_id, kind, action, terms_version, locale, text_hash, "
            "evidence_hash, recorded_at) VALUES (%(customer_id)s, %(consent_id)s, 'save_card', 'given', 'x', 'en', "
            "'', '', now())", consent,
        )  # fmt: skip
    values = {name: Jsonb(value) if isinstance(value, (dict, list)) else value for name, value in row.items()}
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)
    return False
