"""The report: our books beside the sandbox's, the latencies, the invariants, and what a person reads."""

import dataclasses
import statistics
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx

from brimful.core import money
from brimful.db.pool import Database
from brimful.dev.demo.replay import Tally
from brimful.operations.verify import Finding
from brimful_client.client import AsyncClient
from brimful_client.errors import Problem

_WAITING = ("action_required", "retry_wait")
_PAGE = 200
_SAMPLE = 50


@dataclasses.dataclass(frozen=True)
class Watch:
    """A look at the top-ups of our books."""

    states: Mapping[str, int]
    latest: list[dict[str, Any]]
    lowest: list[dict[str, Any]]

    @property
    def busy(self) -> int:
        """Top-ups that neither have ended nor wait for their customer or a retry."""
        ended = ("succeeded", "failed", "canceled", *_WAITING)
        return sum(count for state, count in self.states.items() if state not in ended)


_STATES = "SELECT state, count(*) AS n FROM top_ups GROUP BY state"
_LATEST = """
    SELECT t.asset, t.state, t.reason, t.amount_minor, t.currency, c.name FROM top_ups AS t
    JOIN customers AS c ON c.customer_id = t.customer_id ORDER BY t.requested_at DESC LIMIT 8
"""
_LOWEST = """
    SELECT c.name, a.asset, a.balance FROM accounts AS a JOIN customers AS c ON c.customer_id = a.customer_id
    ORDER BY a.seq DESC LIMIT 6
"""


async def watch(database: Database) -> Watch:
    """Look now."""
    async with database.transaction() as tx:
        states = {row["state"]: row["n"] for row in await tx.all(_STATES)}
        return Watch(states, await tx.all(_LATEST), await tx.all(_LOWEST))


async def found_all(api: AsyncClient, tally: Tally) -> Finding:
    """I6: every event that was acknowledged is in the ledger, read back through the API with its amount."""
    missing = dict(tally.acknowledged)
    accounts = {(customer_id, asset) for (customer_id, _), (asset, _) in tally.acknowledged.items()}
    for customer_id, asset in accounts:
        cursor: str | None = None
        while True:
            page = await api.list_entries(customer_id, asset, limit=_PAGE, cursor=cursor)
            for item in page.items:
                known = missing.get((customer_id, item.key))
                if item.kind == "usage" and known is not None and Decimal(known[1]) == -item.amount:
                    del missing[customer_id, item.key]
            cursor = page.next_cursor
            if cursor is None:
                break
    first = "" if len(tally.acknowledged) == tally.applied else "the first "
    detail = f"{first}{len(tally.acknowledged)} acknowledged events, {len(missing)} missing"
    return Finding("I6", ok=not missing, detail=detail)


async def check_repeats(api: AsyncClient, tally: Tally) -> list[Finding]:
    """I7 and I11: acknowledged events sent again do nothing; the same ids with other amounts are refused, and nothing
    has changed afterwards.
    """
    sample = list(tally.acknowledged.items())[:_SAMPLE]
    before = await _newest_usage(api, sample)
    repeated = refused = 0
    for (customer_id, event_id), (asset, amount) in sample:
        again = await api.record_usage(id=event_id, customer_id=customer_id, asset=asset, amount=amount)
        repeated += again.status == "duplicate"
        try:
            await api.record_usage(id=event_id, customer_id=customer_id, asset=asset, amount=Decimal(amount) + 1)
        except Problem as problem:
            refused += problem.code == "key_reused"
    after = await _newest_usage(api, sample)
    same = before == after
    return [
        Finding("I7", ok=same and repeated == len(sample), detail=f"{repeated} of {len(sample)} repeats did nothing"),
        Finding(
            "I11", ok=same and refused == len(sample), detail=f"{refused} of {len(sample)} bad ones changed nothing"
        ),
    ]


async def _newest_usage(api: AsyncClient, sample: list[Any]) -> dict[tuple[str, str], int]:
    """The newest usage entry of each account in the sample: a top-up may come meanwhile, another use may not."""
    newest: dict[tuple[str, str], int] = {}
    for (customer_id, _), (asset, _) in sample:
        items = (await api.list_entries(customer_id, asset, limit=_PAGE)).items
        newest[customer_id, asset] = max((item.seq for item in items if item.kind == "usage"), default=0)
    return newest


_CHARGED = """
    SELECT currency, sum(money_minor) FILTER (WHERE kind = 'top_up') AS charged,
        -coalesce(sum(money_minor) FILTER (WHERE kind = 'refund'), 0) AS refunded,
        -coalesce(sum(money_minor) FILTER (WHERE kind IN ('dispute', 'reinstatement')), 0) AS disputed
    FROM entries WHERE currency IS NOT NULL GROUP BY currency
"""
_TIMES = """
    SELECT t.top_up_id, t.kind, extract(epoch FROM t.requested_at) * 1000 AS requested_ms,
        extract(epoch FROM e.recorded_at) * 1000 AS credited_ms
    FROM top_ups AS t
    LEFT JOIN payments AS p ON p.customer_id = t.customer_id AND p.top_up_id = t.top_up_id AND p.state = 'succeeded'
    LEFT JOIN entries AS e ON e.customer_id = p.customer_id AND e.payment_id = p.payment_id AND e.kind = 'top_up'
    WHERE t.top_up_id > %s
"""


async def build(
    database: Database, sandbox: httpx.AsyncClient, tally: Tally, findings: list[Finding]
) -> dict[str, Any]:
    """The result as the `--json` file has it."""
    async with database.transaction() as tx:
        money_rows = await tx.all(_CHARGED)
        states = {row["state"]: row["n"] for row in await tx.all(_STATES)}
    books = (await sandbox.get("/sandbox/books")).raise_for_status().json()
    charged = {row["currency"]: int(row["charged"] or 0) for row in money_rows}
    refunded = {row["currency"]: int(row["refunded"]) for row in money_rows if row["refunded"]}
    disputed = {row["currency"]: int(row["disputed"]) for row in money_rows if row["disputed"]}
    credited = {code: minor - refunded.get(code, 0) for code, minor in charged.items()}
    named = ("succeeded", "failed", "canceled", *_WAITING)
    agree = charged == books["charged"] and refunded == books["refunded"]
    findings = [*findings, Finding("books", ok=agree, detail="our books and the provider's agree" if agree else
                                   f"ours {charged} less {refunded}, theirs {books['charged']} less "
                                   f"{books['refunded']}")]  # fmt: skip
    trigger, credit = await latencies(database, sandbox)
    return {
        "ok": all(finding.ok for finding in findings),
        "events": tally.total,
        "applied": tally.applied,
        "duplicates": tally.duplicates,
        "refused": tally.refused,
        "debited": {asset: money.text(amount) for asset, amount in sorted(tally.debited.items())},
        "top_ups": {
            **{state: states.get(state, 0) for state in named},
            "other_live": sum(count for state, count in states.items() if state not in named),
        },
        "charged": charged,
        "refunded": refunded,
        "disputed": disputed,
        "credited": credited,
        "provider": {"charged": books["charged"], "refunded": books["refunded"]},
        "trigger_ms": _percentiles(trigger),
        "credit_ms": _percentiles(credit),
        "invariants": [finding.shown() for finding in findings],
    }


async def latencies(
    database: Database, sandbox: httpx.AsyncClient, *, after: str = ""
) -> tuple[list[float], list[float]]:
    """Milliseconds from a top-up's request to the first call, and from the success at the sandbox to the credit; of
    those top-ups whose id comes after that one.
    """
    async with database.transaction() as tx:
        rows = await tx.all(_TIMES, (after,))
    books = (await sandbox.get("/sandbox/books")).raise_for_status().json()["top_ups"]
    trigger, credit = [], []
    for row in rows:
        times = books.get(row["top_up_id"], {})
        if row["kind"] == "automatic" and "first_request_ms" in times:
            trigger.append(times["first_request_ms"] - float(row["requested_ms"]))
        if row["credited_ms"] is not None and "succeeded_ms" in times:
            credit.append(float(row["credited_ms"]) - times["succeeded_ms"])
    return trigger, credit


def _percentiles(values: list[float]) -> dict[str, float | None]:
    if len(values) < 2:
        only = round(values[0], 1) if values else None
        return {"p50": only, "p99": only}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)}


def lines(result: Mapping[str, Any], seconds: float) -> list[str]:
    """The closing summary, for a person."""
    tops = result["top_ups"]

    def cash(books: Mapping[str, int]) -> str:
        return ", ".join(f"{money.major(minor, code):,.2f} {code}" for code, minor in books.items()) or "nothing"

    spent = ", ".join(f"{Decimal(amount):,.2f} {asset}" for asset, amount in result["debited"].items())
    rate = result["applied"] / max(seconds, 0.001)
    trigger, credit = result["trigger_ms"], result["credit_ms"]
    ended = ", ".join(f"{tops[state]} {state}" for state in ("succeeded", "failed", "canceled"))
    waiting = f"{tops['action_required']} wait for their customer, {tops['retry_wait']} for a retry"
    text = [
        f"{result['applied']:,} of {result['events']:,} events applied in {seconds:,.0f} s, {rate:,.0f}/s",
        f"Not applied: {result['duplicates']} duplicates, {result['refused']} refused",
        f"Debited   {spent}",
        f"Top-ups   {ended}, {waiting}",
        f"Charged   {cash(result['charged'])} (the provider says {cash(result['provider']['charged'])})",
        f"Credited  {cash(result['credited'])}",
        f"Trigger   p50 {trigger['p50']} ms, p99 {trigger['p99']} ms from the debit to the first call",
        f"Credit    p50 {credit['p50']} ms, p99 {credit['p99']} ms from the payment to the balance",
        "",
    ]
    text += [f"  {'✓' if item['ok'] else '✗'} {item['id']:<6} {item['detail']}" for item in result["invariants"]]
    return text
