"""One batch in one transaction: locked, decided, written, and evaluated where an account crossed a line.

Where the database is distributed, a node can do most of it by itself, which spares the coordinator every statement.
What needs more than a customer's own rows (events, jobs, new accounts, holds) stays with the coordinator: those
customers are left out of the node's transaction, and posted after it in the usual way.
"""

import datetime as dt
import logging
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

import psycopg
import psycopg.errors
import psycopg_pool

from brimful import auto_top_up, budgets, grants, leases, ledger, observability, suspensions, top_ups
from brimful.auto_top_up.policy import Pace
from brimful.db.citus.nodes import NodeConnections
from brimful.db.columns import Texts
from brimful.db.pool import Database, Query, Tx
from brimful.posting import decide
from brimful.posting.holds import BatchHolds
from brimful.posting.model import HOLDING, Movement, Verdict

_log = logging.getLogger(__name__)
_NO_CUSTOMER = Verdict("refused", "customer_not_found", "There is no such customer.")
_PLAIN = frozenset({"usage", *HOLDING})  # none of these begins later, or takes the key of what does
_NO_ENTRY = frozenset({"hold", "release"})
_CAPTURING = frozenset({"capture", "use"})
_COUNTED = frozenset({"usage", "charge", "hold"})
_NOTHING = Decimal(0)
_Accounts = dict[ledger.accounts.AccountKey, ledger.accounts.Account]
# A node that cannot do this at all: the coordinator can.
_CANNOT = (psycopg.ProgrammingError, psycopg.NotSupportedError, psycopg.InternalError)


class BatchWriter:
    """Writes batches."""

    def __init__(self, database: Database, keyring: ledger.hash_chain.Keyring, pace: Pace) -> None:
        self._database = database
        self._keyring = keyring
        self._pace = pace
        self._nodes = NodeConnections(database)
        self._memory = budgets.windows.Memory()

    async def close(self) -> None:
        """Close the connections to nodes."""
        await self._nodes.close()

    async def write_at_node(self, movements: Sequence[Movement], place: int) -> dict[int, Verdict]:
        """What the node that holds the shard `place` can do by itself: verdicts by number, after its commit. What is
        absent was not touched, and is for `write`.

        Raises:
            psycopg.OperationalError: the node does not answer any more. Movements may be sent again, under their keys.
        """
        node = self._nodes.holding(place)
        if node is None:
            return {}
        try:
            return await self._write_at(node, movements)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return {}
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
            self._nodes.drop(place)
            raise
        except _CANNOT as error:
            _log.warning("A node cannot post by itself, the coordinator does: %s", error)
            self._nodes.drop(place)
            return {}
        except psycopg.Error:
            return {}  # a row that cannot be written: it is found where all of them are

    async def write(self, movements: Sequence[Movement]) -> list[Verdict]:
        """One verdict per movement, after the commit."""
        keys = {(movement.customer_id, movement.asset) for movement in movements}
        async with self._database.transaction("T1") as tx:
            accounts, known = await _lock(tx, movements)
            if len(accounts) == len(keys):
                return await self._write(tx, accounts, known, movements)
        # Missing accounts are committed before the batch, so that a batch only ever locks rows that exist.
        async with self._database.transaction() as tx:
            await ledger.accounts.create_missing(tx, keys - set(accounts))
        async with self._database.transaction("T1") as tx:
            accounts, known = await _lock(tx, movements)
            return await self._write(tx, accounts, known, movements)

    async def _write(
        self, tx: Tx, accounts: _Accounts, known: ledger.keys.Known, movements: Sequence[Movement]
    ) -> list[Verdict]:
        """One batch under its locks; first what is due on its accounts.

        What a hold kept of a lot that has expired goes as soon as something frees it, before anything that follows in
        the same batch: on such accounts movements are posted one by one.
        """
        now = await tx.now()
        due = {key for key, one in accounts.items() if one.lots_due_at is not None and one.lots_due_at <= now}
        if not due:
            return await self._post(tx, accounts, known, movements)
        await self._post_due(tx, accounts, due)
        frees = {(move.customer_id, move.asset) for move in movements if move.kind in HOLDING or move.amount > _NOTHING}
        again = await _again(tx, due & frees)
        one_by_one = {key for key, one in again.items() if grants.due.is_due(one, now)}
        verdicts: dict[int, Verdict] = {}
        together = [n for n, move in enumerate(movements) if (move.customer_id, move.asset) not in one_by_one]
        if together:
            verdicts |= await self._post_some(tx, movements, together, due - one_by_one)
        for number in [n for n in range(len(movements)) if n not in verdicts]:
            move = movements[number]
            key = move.customer_id, move.asset
            verdicts |= await self._post_some(tx, movements, [number], ())
            await self._post_due(tx, await _again(tx, [key]), [key])
        await auto_top_up.evaluate.reevaluate(tx, one_by_one, self._pace)
        return [verdicts[number] for number in range(len(movements))]

    async def _post_some(
        self,
        tx: Tx,
        movements: Sequence[Movement],
        numbers: Sequence[int],
        changed: Collection[ledger.accounts.AccountKey],
    ) -> dict[int, Verdict]:
        """Those of a batch, on accounts that it holds and has changed meanwhile; the moment stays the batch's."""
        some = [movements[number] for number in numbers]
        accounts = await _again(tx, {(move.customer_id, move.asset) for move in some})
        known = await tx.ask(ledger.keys.known_query(_used(some)))  # a credit that began has taken its key
        return dict(zip(numbers, await self._post(tx, accounts, known, some, changed), strict=True))

    async def _post_due(self, tx: Tx, accounts: _Accounts, keys: Iterable[ledger.accounts.AccountKey]) -> None:
        for key in sorted(keys):
            await grants.due.post(tx, self._keyring, accounts[key])

    async def _post(
        self,
        tx: Tx,
        accounts: _Accounts,
        known: ledger.keys.Known,
        movements: Sequence[Movement],
        changed: Collection[ledger.accounts.AccountKey] = (),
    ) -> list[Verdict]:
        """Decide, write, and evaluate the accounts that crossed their trigger, and those that have changed already."""
        possible = [_kept(m, accounts) for m in movements if (m.customer_id, m.asset) in accounts]
        plain = _PLAIN.issuperset([movement.kind for movement in possible])
        await known.complete(tx)
        batch_holds = await self._batch_holds(tx, accounts, possible)
        now = await tx.now()
        written = known.entries
        if not plain:
            written = {**written, **await _scheduled(tx, possible)}
        decided = decide.decide(possible, _balances(accounts), written, now, batch_holds)
        applied = _applied(possible, decided)
        if batch_holds.counted:
            applied = [batch_holds.marked(move) if move.kind in _CAPTURING else move for move in applied]
        if not plain:
            applied = self._schedule(tx, applied, now)
        await ledger.post.post(tx, self._keyring, accounts, [_draft(movement) for movement in applied], known)
        await self._save_holds(tx, batch_holds, now)
        if to_evaluate := _to_evaluate(accounts, possible, decided, {*batch_holds.touched, *changed}):
            if observability.tracing.on():
                observability.tracing.posting(_by_account(applied))
            await auto_top_up.evaluate.reevaluate(tx, to_evaluate, self._pace)
        if batch_holds.leases:
            decided = await _with_leases(tx, possible, decided, batch_holds)
        if len(possible) == len(movements):
            return decided
        answers = iter(decided)
        return [next(answers) if (m.customer_id, m.asset) in accounts else _NO_CUSTOMER for m in movements]

    async def _save_holds(self, tx: Tx, batch_holds: BatchHolds, now: dt.datetime) -> None:
        """Holds, leases, and what budgets have counted."""
        if batch_holds.touched:
            held = {key: batch_holds.held[key] for key in batch_holds.touched}
            renewed = list(batch_holds.renewed.values())
            ledger.holds.save(tx, begun=batch_holds.begun, renewed=renewed, ended=batch_holds.ended, held=held, now=now)
            for hold in batch_holds.begun:
                if hold.leased:
                    leases.store.begin(tx, batch_holds.leased[hold.key])
            leases.store.save(tx, list(batch_holds.leased.values()))
            leases.store.end(tx, batch_holds.ended)
        await budgets.windows.save(tx, batch_holds.counting, self._memory)

    def _schedule(self, tx: Tx, applied: Sequence[Movement], now: dt.datetime) -> list[Movement]:
        """Write down those that begin later. Returns the others, which become entries at once."""
        at_once, moments = list[Movement](), dict[ledger.accounts.AccountKey, dt.datetime]()
        for move in applied:
            if move.terms is None or move.terms.effective_at is None or move.terms.effective_at <= now:
                at_once.append(move)
                continue
            credit = grants.scheduled.Scheduled(
                move.customer_id, move.key, move.asset, move.amount, move.terms.purpose, move.terms.priority,
                move.terms.effective_at, move.terms.expires_at, move.description, move.metadata, now,
            )  # fmt: skip
            grants.scheduled.write(tx, credit.signed(self._keyring))
            key = move.customer_id, move.asset
            moments[key] = min(moments.get(key, move.terms.effective_at), move.terms.effective_at)
        if moments:
            ledger.accounts.lots_due_by(tx, moments)
        return at_once

    async def _write_at(self, node: Database, movements: Sequence[Movement]) -> dict[int, Verdict]:
        """A customer with an account that is missing, that crosses a line or gets something, with a hold, a budget, or
        with what may begin later, is absent from the verdicts with all that is theirs.
        """
        async with node.transaction("T1") as tx:
            accounts, known = await _lock(tx, movements)
            await known.complete(tx)
            absent = {m.customer_id for m in movements if m.kind != "usage" or (m.customer_id, m.asset) not in accounts}
            now = await tx.now()
            absent |= {one.customer_id for one in accounts.values() if one.budgeted or grants.due.is_due(one, now)}
            numbers = [number for number, movement in enumerate(movements) if movement.customer_id not in absent]
            possible = [_kept(movements[number], accounts) for number in numbers]
            held = BatchHolds(_held(accounts))
            decided = decide.decide(possible, _balances(accounts), known.entries, now, held)
            absent |= {customer_id for customer_id, _ in _to_evaluate(accounts, possible, decided, ())}
            applied = [move for move in _applied(possible, decided) if move.customer_id not in absent]
            await ledger.post.post(tx, self._keyring, accounts, [_draft(movement) for movement in applied], known)
        return {
            number: verdict
            for number, movement, verdict in zip(numbers, possible, decided, strict=True)
            if movement.customer_id not in absent
        }

    async def _counting(
        self, tx: Tx, accounts: _Accounts, movements: Sequence[Movement], holds: Collection[ledger.holds.Hold]
    ) -> budgets.counting.Counting:
        """What budgets have counted: asked for where an account of the batch has any, or a hold is set aside in one."""
        budgeted = {key: account for key, account in accounts.items() if account.budgeted}
        counted = [hold for hold in holds if hold.counted]
        if not budgeted and not counted:
            return budgets.counting.Counting()
        wanted = dict[tuple[ledger.accounts.AccountKey, str], ledger.accounts.Account]()
        for move in movements:
            key = move.customer_id, move.asset
            if key in budgeted and move.kind in _COUNTED:
                plain = move.subject is None and not move.dimensions
                for tag in (budgets.tags.ALL,) if plain else budgets.tags.of(move.subject, move.dimensions):
                    wanted[key, tag] = budgeted[key]
        for hold in holds:
            if (hold.leased or hold.counted) and hold.account in budgeted:
                for tag in budgets.tags.of(hold.subject, hold.dimensions):
                    wanted[hold.account, tag] = budgeted[hold.account]
        return await budgets.windows.read(tx, wanted, counted, self._memory)

    async def _batch_holds(self, tx: Tx, accounts: _Accounts, movements: Sequence[Movement]) -> BatchHolds:
        """What is held on these accounts; holds and bridges are read only for a batch that names any, and budgets for
        one of accounts that have some.
        """
        held = _held(accounts)
        holding = [movement for movement in movements if movement.kind in HOLDING]
        if not holding:
            return BatchHolds(held, counting=await self._counting(tx, accounts, movements, ()))
        known = await tx.ask(ledger.holds.existing_query({(move.customer_id, move.hold_id) for move in holding}))
        leased = {hold.key for hold in known.values() if hold.leased}
        known_leases = await tx.ask(leases.store.query(leased)) if leased else {}
        new = {(move.customer_id, move.asset) for move in holding if move.kind in {"hold", "use"}}
        bridges = await tx.ask(top_ups.bridges.bridges_query(new)) if new else {}
        in_flight = any(bridge.bound and bridge.in_flight for bridge in bridges.values())
        if in_flight and await tx.ask(suspensions.store.SUSPENDED):
            bridges = {}  # what is in flight waits for as long as charging is suspended
        counting = await self._counting(tx, accounts, movements, known.values())
        return BatchHolds(held, known, bridges, known_leases, counting)


async def _with_leases(
    tx: Tx, movements: Sequence[Movement], decided: Sequence[Verdict], batch_holds: BatchHolds
) -> list[Verdict]:
    """The verdicts with the state of each lease after all that happened in the batch."""
    after = await tx.ask(leases.store.query(batch_holds.leases.keys()))
    found = []
    for move, verdict in zip(movements, decided, strict=True):
        key = move.customer_id, move.hold_id
        has_lease = verdict.outcome != "refused" and move.kind in {"hold", "use"} and key in after
        found.append(
            verdict._replace(lease=after[key], held=_held_by(batch_holds.known[key])) if has_lease else verdict
        )
    return found


def _held_by(hold: ledger.holds.Hold) -> Decimal:
    return hold.amount if hold.state == "open" else _NOTHING


_LOCK_KEYS = """
    SELECT pg_advisory_xact_lock(hashtextextended(k.key, 5))
    FROM (SELECT key FROM unnest(%s::text[]) AS w (key) ORDER BY key) AS k
"""


async def _lock(tx: Tx, movements: Sequence[Movement]) -> tuple[_Accounts, ledger.keys.Known]:
    """Lock the accounts, and the keys that an entry may take, or a credit that begins later, on two assets at once: the
    second waits, and then finds it.
    """
    accounts = ledger.accounts.lock_query({(movement.customer_id, movement.asset) for movement in movements})
    known = ledger.keys.known_query(_used(movements))
    taken = {f"{move.customer_id} {move.key}" for move in movements if move.kind not in _PLAIN}
    if not taken:
        return await tx.ask(accounts & known)
    (locked, _), written = await tx.ask(accounts & Query(_LOCK_KEYS, (Texts(taken),), len) & known)
    return locked, written


async def _again(tx: Tx, keys: Collection[ledger.accounts.AccountKey]) -> _Accounts:
    """Accounts that are locked already, as they stand now. Nothing was waited for: the moment stays the same."""
    return await tx.ask(ledger.accounts.lock_query(keys))


def _used(movements: Sequence[Movement]) -> set[ledger.keys.Key]:
    return {(movement.customer_id, movement.source, movement.key) for movement in movements}


def _balances(accounts: _Accounts) -> dict[ledger.accounts.AccountKey, Decimal]:
    return {key: account.balance for key, account in accounts.items()}


def _held(accounts: _Accounts) -> dict[ledger.accounts.AccountKey, Decimal]:
    return {key: account.held for key, account in accounts.items() if account.held}


def _applied(movements: Sequence[Movement], decided: Sequence[Verdict]) -> list[Movement]:
    """Those that become entries."""
    return [
        movement
        for movement, verdict in zip(movements, decided, strict=True)
        if verdict.outcome == "applied" and movement.kind not in _NO_ENTRY and movement.amount
    ]


async def _scheduled(tx: Tx, movements: Sequence[Movement]) -> dict[ledger.keys.Key, ledger.keys.ExistingEntry]:
    """Keys that are taken by credits that begin later."""
    wanted = {(move.customer_id, move.key) for move in movements if move.source == "api"}
    return {
        (one.customer_id, "api", one.key): ledger.keys.ExistingEntry(
            "adjustment", one.asset, one.amount, _NOTHING, one.created_at
        )
        for one in await grants.scheduled.by_keys(tx, wanted)
    }


def _by_account(movements: Sequence[Movement]) -> dict[ledger.accounts.AccountKey, list[str]]:
    found: dict[ledger.accounts.AccountKey, list[str]] = {}
    for movement in movements:
        found.setdefault((movement.customer_id, movement.asset), []).append(movement.key)
    return found


def _to_evaluate(
    accounts: _Accounts,
    movements: Sequence[Movement],
    decided: Sequence[Verdict],
    touched: Collection[ledger.accounts.AccountKey],
) -> list[ledger.accounts.AccountKey]:
    """Accounts that crossed a line, and those that got something: a credit may end a waiting top-up. `touched` are
    those with another hold than before.
    """
    evaluated, left = set(touched), {}
    for movement, verdict in zip(movements, decided, strict=True):
        if verdict.outcome != "applied":
            continue
        key = movement.customer_id, movement.asset
        left[key] = verdict.available
        if movement.amount > 0:
            evaluated.add(key)
    for key, available in left.items():
        account = accounts[key]
        for line in (account.trigger_below, account.alert_below):
            if line is not None and available is not None and available < line:
                evaluated.add(key)
        if account.held and available is not None and available < 0 <= account.available:
            evaluated.add(key)  # what leases count on is gone
    return sorted(evaluated)


def _kept(movement: Movement, accounts: _Accounts) -> Movement:
    """What is kept of it: of a customer who was erased the figures, and nothing that somebody wrote."""
    erased = accounts[movement.customer_id, movement.asset].erased
    if not erased:
        return movement
    return movement._replace(description=None, metadata=None, subject=None, dimensions=None)


def _draft(movement: Movement) -> ledger.entries.Draft:
    return ledger.entries.Draft(
        movement.customer_id,
        movement.asset,
        "usage" if movement.kind in _CAPTURING else movement.kind,  # type: ignore[arg-type] # the others write none
        movement.amount,
        movement.source,
        movement.key,
        movement.occurred_at,
        description=movement.description,
        metadata=movement.metadata,
        terms=movement.terms,
        subject=movement.subject,
        dimensions=movement.dimensions,
        counted=movement.counted,
    )
