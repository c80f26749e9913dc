"""The state of each open lease of an account, evaluated whenever something of the account changed."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from brimful import budgets, ledger, top_ups
from brimful.budgets.counting import Counting
from brimful.db.pool import Tx
from brimful.leases import model, store
from brimful.leases.model import Coming, Lease, Standing
from brimful.ledger.accounts import Account, AccountKey
from brimful.ledger.holds import Hold, HoldKey

_NOTHING = Decimal(0)


async def evaluate(
    tx: Tx, leases: Sequence[tuple[Lease, Decimal]], coming: Mapping[AccountKey, Coming], *, suspended: bool
) -> None:
    """Evaluate these leases, each with what it holds, and write and announce what changed. The caller holds the locks
    of their accounts, and has changed them already.

    Args:
        tx: the transaction.
        leases: every open one of the accounts.
        coming: whether a top-up comes, by account; an account that is absent has no rule.
        suspended: whether charging is: what is in flight then covers nothing.
    """
    keys = {(lease.customer_id, lease.asset) for lease, _ in leases}
    accounts = await tx.ask(ledger.accounts.lock_query(keys))
    bridges = {} if suspended else await tx.ask(top_ups.bridges.bridges_query(keys))
    budgeted = [lease for lease, _ in leases if accounts[lease.customer_id, lease.asset].budgeted]
    names = {(lease.customer_id, lease.hold_id) for lease in budgeted}
    holds = await tx.ask(ledger.holds.existing_query(names)) if names else {}
    counting = await _counting(tx, accounts, holds.values())
    now = await tx.now()
    changed: dict[HoldKey, tuple[Lease, Lease]] = {}
    for key in sorted(keys):
        own = [(lease, held) for lease, held in leases if (lease.customer_id, lease.asset) == key]
        bridge = bridges.get(key)
        shared = accounts[key].available
        standing = Standing(
            shared,
            _NOTHING if bridge is None else min(bridge.bound, bridge.in_flight),
            sum((lease.burn for lease, _ in own), _NOTHING),
            coming.get(key, Coming(comes=False, why="no_rule")),
        )
        for lease, held in own:
            left, budget_id = _left(counting, holds.get((lease.customer_id, lease.hold_id)))
            its = standing._replace(available=shared, budget=left, budget_id=budget_id)
            after = model.assess(lease, held, its, now)
            # What one needs to be whole again is not there for the next: the longest unused comes first.
            shared -= max(min(lease.chunk - held, shared + standing.bridge), _NOTHING)
            if after != lease:
                changed[lease.customer_id, lease.hold_id] = lease, after
    store.save(tx, [after for _, after in changed.values()])
    await store.announce(tx, changed)


async def _counting(tx: Tx, accounts: Mapping[AccountKey, Account], holds: Collection[Hold]) -> Counting:
    wanted = {
        (hold.account, tag): accounts[hold.account]
        for hold in holds
        for tag in budgets.tags.of(hold.subject, hold.dimensions)
    }
    return await budgets.windows.read(tx, wanted)


def _left(counting: Counting, hold: Hold | None) -> tuple[Decimal | None, str | None]:
    """What the tightest budget of a lease still covers, and which that is, where it has any."""
    if hold is None:
        return None, None
    return counting.left(counting.of(hold.account, hold.subject, hold.dimensions)) or (None, None)
