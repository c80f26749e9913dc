"""The doctor: examine everything around the product, and say what to do about what is wrong.

What could not be examined is neither right nor wrong: `ok` is None, and the detail says why.
"""

import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, LiteralString

import psycopg
import psycopg.errors
import psycopg.rows

from brimful import db
from brimful.core.clock import Clock
from brimful.core.errors import ConfigurationError
from brimful.db.pool import Tx
from brimful.gateway.gateway import Failure, FailureKind
from brimful.gateway.stripe.account import Account, Endpoint
from brimful.operations import health, verify
from brimful.operations.health import Examination
from brimful.settings.environment import StripeAccess

Connection = psycopg.AsyncConnection[dict[str, Any]]
_CLOCK_OFF_MAX_S = 5.0


async def run(
    url: str, stripe: StripeAccess, ledger_keys: Mapping[int, bytes] | None, *, now: Callable[[], float] = time.time
) -> list[Examination]:
    """Examine everything; one result each.

    Args:
        url: of the database.
        stripe: how to ask Stripe; without a key it is not asked.
        ledger_keys: of the chain; without them the books are not verified.
        now: this machine's clock, seconds since 1970.
    """
    found = [_server(url), _migrations(url)]
    reachable = not found[0].detail.startswith("DATABASE_URL cannot be reached")
    if found[1].ok:
        async with await psycopg.AsyncConnection.connect(
            url, row_factory=psycopg.rows.dict_row, context=db.columns.ADAPTERS
        ) as connection:
            await connection.set_autocommit(True)
            found += [_nodes(url), _standby(await _one(connection, _REPLICATION)), await _clock(connection, now)]
            found += [await _roles(connection), *await _health(connection)]
    elif reachable:
        found.append(Examination("the rest", ok=None, detail="not looked at until the migrations are applied"))
    found += [_epoch_file(stripe), _secret(stripe)]
    found += await _stripe(stripe, now)
    if found[1].ok:
        found.append(await _books(url, ledger_keys))
    return found


def _server(url: str) -> Examination:
    try:
        db.migrate.check_server(url)
    except ConfigurationError as error:
        return Examination("database", ok=False, detail=str(error))
    return Examination("database", ok=True, detail="reachable; version and durability settings are safe")


def _migrations(url: str) -> Examination:
    try:
        missing = db.migrate.pending(url)
    except ConfigurationError as error:
        return Examination("migrations", ok=False, detail=str(error))
    if missing:
        return Examination(
            "migrations", ok=False, detail=f"{len(missing)} pending ({missing[0]}): run `brimful migrate`"
        )
    return Examination("migrations", ok=True, detail="none pending")


def _nodes(url: str) -> Examination:
    """Of a distributed database: whether every node answers, and every table is where it belongs."""
    with psycopg.connect(url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
        try:
            return _look_at_nodes(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            return Examination("nodes", ok=None, detail=f"this login may not look: {error.diag.message_primary}")


def _look_at_nodes(connection: psycopg.Connection[dict[str, Any]]) -> Examination:
    known = db.citus.cluster.nodes(connection)
    if len(known) < 2:
        return Examination("nodes", ok=True, detail="one PostgreSQL, not distributed")
    away = [node.address for node in known if not node.active] or db.citus.cluster.silent(connection)
    if away:
        detail = f"{', '.join(away)} does not answer: its customers' debits get 503 until it does"
        return Examination("nodes", ok=False, detail=detail)
    wrong = db.citus.distribute.misplaced(connection)
    if wrong:
        detail = f"{wrong[0]} ({len(wrong)} in all): run `brimful distribute`"
        return Examination("nodes", ok=False, detail=detail)
    unsafe = db.citus.cluster.unsafe(connection)
    if unsafe:
        return Examination("nodes", ok=False, detail=f"{unsafe[0]}: it may lose acknowledged money")
    detail = f"{len(known)} answer, one of them the coordinator; every table is where it belongs"
    return Examination("nodes", ok=True, detail=detail)


# What a login may not see of others' connections is NULL.
_REPLICATION: LiteralString = """
    SELECT current_setting('synchronous_commit') AS waits, current_setting('synchronous_standby_names') AS names,
        count(*) AS connected, count(*) FILTER (WHERE state IS NULL) AS hidden,
        count(*) FILTER (WHERE state = 'streaming') AS streaming,
        count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous
    FROM pg_stat_replication
"""


def _standby(seen: Mapping[str, Any]) -> Examination:
    """What a commit promises when this machine is lost."""
    name, waits = "standby", seen["waits"]
    if seen["hidden"]:
        return Examination(name, ok=None, detail="this login may not see it: GRANT pg_read_all_stats")
    if not seen["names"]:
        detail = "none" if not seen["streaming"] else f"{seen['streaming']} follow, none of them synchronously"
        lost = "losing this machine loses" if not seen["streaming"] else "a failover may lose"
        return Examination(name, ok=True, detail=f"{detail}: {lost} events that were acknowledged (docs/scale.md)")
    if waits in {"local", "off"}:
        detail = f"synchronous_commit = {waits}: no commit waits for the standby that synchronous_standby_names names"
        return Examination(name, ok=False, detail=f"{detail}; set it to on")
    if not seen["synchronous"]:
        detail = f"synchronous_standby_names = {seen['names']} and nobody of that name follows: every debit waits"
        return Examination(name, ok=False, detail=detail)
    kept = "has received" if waits == "remote_write" else "has flushed"
    return Examination(name, ok=True, detail=f"an event is acknowledged once a standby {kept} it")


async def _one(connection: Connection, sql: LiteralString) -> dict[str, Any]:
    row = await (await connection.execute(sql)).fetchone()
    assert row is not None
    return row


async def _clock(connection: Connection, now: Callable[[], float]) -> Examination:
    """Against the database's. No decision compares the two, but logs, signatures and e-mails show this machine's."""
    before = now()
    row = await _one(connection, "SELECT extract(epoch FROM clock_timestamp())::float AS there")
    off_s = row["there"] - (before + now()) / 2
    if abs(off_s) > _CLOCK_OFF_MAX_S:
        detail = f"this machine's clock is off by {-off_s:.0f} s against the database's: turn on NTP on both"
        return Examination("clock", ok=False, detail=detail)
    return Examination("clock", ok=True, detail=f"{abs(off_s) * 1000:.0f} ms from the database's")


# What nobody who serves may do to the books and the consents, and who alone may write rules and give consents.
_ROLES: LiteralString = """
    SELECT role, name, verb
    FROM unnest(ARRAY['brimful_api', 'brimful_portal', 'brimful_engine']) AS role,
        unnest(ARRAY['entries', 'consents', 'consent_evidence', 'rules', 'card_setups', 'cards']) AS name,
        unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS verb
    WHERE CASE
        WHEN verb IN ('DELETE', 'TRUNCATE') THEN has_table_privilege(role, name, verb)
        WHEN name IN ('entries', 'consents', 'consent_evidence') AND verb = 'UPDATE'
            THEN has_any_column_privilege(role, name, verb)
        WHEN name IN ('consents', 'consent_evidence', 'card_setups') AND verb = 'INSERT' OR name = 'rules'
            THEN role <> 'brimful_portal' AND has_any_column_privilege(role, name, verb)
        WHEN name = 'cards' AND verb = 'INSERT'
            THEN role <> 'brimful_engine' AND has_any_column_privilege(role, name, verb)
        ELSE false END
    ORDER BY 1, 2, 3
"""


async def _roles(connection: Connection) -> Examination:
    rows = await (await connection.execute(_ROLES)).fetchall()
    if rows:
        may = ", ".join(f"{row['role']} may {row['verb']} {row['name']}" for row in rows[:5])
        return Examination("roles", ok=False, detail=f"{may}: compare with 0005.grants.sql, and REVOKE it")
    detail = "no service role changes entries or consents; only the portal writes rules"
    return Examination("roles", ok=True, detail=detail)


async def _health(connection: Connection) -> list[Examination]:
    found = await health.examine(Tx(connection, Clock()))
    await connection.rollback()
    return found


def _secret(access: StripeAccess) -> Examination:
    if access.key is None:
        return Examination("webhook secret", ok=None, detail="STRIPE_API_KEY is not set here: not looked at")
    if not access.webhook_secrets:
        detail = "STRIPE_WEBHOOK_SECRET is not set: no event can be believed. Run `brimful stripe setup`"
        return Examination("webhook secret", ok=False, detail=detail)
    return Examination("webhook secret", ok=True, detail="STRIPE_WEBHOOK_SECRET is set")


def _epoch_file(access: StripeAccess) -> Examination:
    if access.key is None:
        return Examination("epoch file", ok=None, detail="STRIPE_API_KEY is not set here: nothing is charged from here")
    if access.epoch_file is None:
        detail = "BRIMFUL_EPOCH_FILE is not set: after a restore customers would be charged again"
        return Examination("epoch file", ok=False, detail=detail)
    path = pathlib.Path(access.epoch_file)
    try:
        path.read_text()
    except OSError as error:
        return Examination(
            "epoch file", ok=False, detail=f"{path} cannot be read ({error.strerror}): has a worker written it?"
        )
    return Examination("epoch file", ok=True, detail=str(path))


async def _stripe(access: StripeAccess, now: Callable[[], float]) -> list[Examination]:
    if access.key is None:
        return [Examination("stripe key", ok=None, detail="STRIPE_API_KEY is not set here: Stripe was not asked")]
    account = Account(access.key, url=access.url)
    try:
        missing = await account.missing_permissions()
        if isinstance(missing, Failure):
            what = "it is not accepted" if missing.kind is FailureKind.ACCOUNT else "Stripe does not answer"
            return [Examination("stripe key", ok=False, detail=f"{what}: {missing.message}")]
        return [
            _key(access, missing),
            _stripe_clock(await account.clock(now)),
            _endpoint(access, await account.endpoints()),
        ]
    finally:
        await account.close()


def _key(access: StripeAccess, missing: list[str]) -> Examination:
    if missing:
        return Examination("stripe key", ok=False, detail=f"it lacks {', '.join(missing)}: add them in the Dashboard")
    mode = "live" if access.live else "test"
    detail = f"accepted, {mode} mode, every permission that is needed"
    if access.live and (access.key or "").startswith("sk_"):
        detail += "; a restricted key (rk_live_) would be enough"
    return Examination("stripe key", ok=True, detail=detail)


def _stripe_clock(off_s: float | Failure) -> Examination:
    if isinstance(off_s, Failure):
        return Examination("stripe clock", ok=None, detail=off_s.message)
    if abs(off_s) > _CLOCK_OFF_MAX_S:
        detail = f"this machine's clock is off by {-off_s:.0f} s against Stripe's: turn on NTP"
        return Examination("stripe clock", ok=False, detail=detail)
    return Examination("stripe clock", ok=True, detail="within a few seconds of Stripe's")


def _endpoint(access: StripeAccess, endpoints: list[Endpoint] | Failure) -> Examination:
    name, url = "stripe webhook", access.webhook_url
    if isinstance(endpoints, Failure):
        return Examination(name, ok=None, detail="the key may not list webhook endpoints: not looked at")
    ours = [endpoint for endpoint in endpoints if endpoint.url == url]
    enabled = [endpoint for endpoint in ours if endpoint.enabled]
    if not ours:
        return Examination(name, ok=False, detail=f"no endpoint sends to {url}: run `brimful stripe setup`")
    if not enabled:
        return Examination(name, ok=False, detail=f"{ours[0].endpoint_id} is disabled: run `brimful stripe setup`")
    if len(enabled) > 1:
        twice = ", ".join(endpoint.endpoint_id for endpoint in enabled)
        return Examination(
            name, ok=False, detail=f"{twice} all send to {url}, each with its own secret: delete all but one"
        )
    [one] = enabled
    if one.missing:
        lacks = json.dumps(one.missing)
        return Examination(name, ok=False, detail=f"{one.endpoint_id} lacks {lacks}: run `brimful stripe setup`")
    if one.api_version not in {None, Account.version}:
        detail = f"{one.endpoint_id} sends version {one.api_version}, we read {Account.version}: make a new endpoint"
        return Examination(name, ok=False, detail=detail)
    return Examination(name, ok=True, detail=f"{one.endpoint_id} sends {len(one.events)} kinds of events to {url}")


async def _books(url: str, keys: Mapping[int, bytes] | None) -> Examination:
    if keys is None:
        return Examination("books", ok=None, detail="BRIMFUL_LEDGER_KEYS is not set here: not verified")
    wrong = [finding for finding in await verify.run(url, keys) if not finding.ok]
    if wrong:
        detail = f"{wrong[0].id}: {wrong[0].detail}"
        return Examination("books", ok=False, detail=f"{detail}. Stop charging and run `brimful verify --full`")
    return Examination("books", ok=True, detail="every invariant holds")
