"""Every rule over every source, and what came out."""

import concurrent.futures
import dataclasses
import datetime as dt
import functools
import multiprocessing
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from brimful.dev import traces
from brimful.dev.backtest import engine, sources
from brimful.dev.backtest.engine import Payments, Rule
from brimful.dev.backtest.sources import Source

THRESHOLDS, AMOUNTS = (2, 5, 10, 25, 50), (10, 25, 50)
_HIGH, _MOST = 200, 200  # dollars: an adaptive threshold's upper bound, and "charge at most"
SEED = 20231116


def rules() -> list[Rule]:
    """What a customer can set, each with and without a backup card."""
    made = [Rule(f"fixed {t}/{a}", t, a) for t in THRESHOLDS for a in AMOUNTS]
    made += [
        Rule(f"target {t} to {t + a}", t, 10, charge_max=a, target=t + a) for t, a in ((5, 25), (10, 25), (25, 50))
    ]
    made += [
        Rule(f"adaptive {t} to {_HIGH}, add {a}", t, a, charge_max=_MOST, high=_HIGH)
        for t, a in ((2, 10), (5, 10), (5, 25))
    ]
    made.append(Rule(f"adaptive 5 to {_HIGH}, last about a day", 5, 10, charge_max=_MOST, high=_HIGH, lasts_days=1))
    return made + [dataclasses.replace(rule, name=f"{rule.name}, backup card", backup=True) for rule in made]


def references() -> list[Rule]:
    """What others do with the same numbers: evaluate now and then, or wait for hours after each failure."""
    made = []
    for t in THRESHOLDS:
        for a in AMOUNTS:
            made += [
                Rule(f"every {minutes} minutes {t}/{a}", t, a, every=dt.timedelta(minutes=minutes))
                for minutes in (3, 5)
            ]
            waits = (dt.timedelta(hours=4), dt.timedelta(hours=12))
            made.append(Rule(f"retry after 4 hours {t}/{a}", t, a, waits=waits))
    return made


def run(
    given: Sequence[tuple[str, traces.Trace | traces.Generated]], *, speeds: Iterable[float], payments: Payments
) -> dict[str, Any]:
    """Every rule over every trace at every speed, and over the bursts: the result as the `--json` file has it."""
    found = []
    for name, trace in given:
        for slower in speeds:
            shown = name if slower == 1 else f"{name}, {slower:g} times slower"
            found.append(_over(sources.from_trace(shown, trace, slower=slower, seed=SEED), payments))
    found.append(_over(sources.bursts(seed=SEED), payments))
    return {"ok": tells(found), "traces": found}


def tells(found: Iterable[Mapping[str, Any]]) -> bool:
    """Whether each body of usage says anything: one that makes no rule charge tests none."""
    return all(any(row["charges"] for row in one["rules"]) for one in found)


def _over(source: Source, payments: Payments) -> dict[str, Any]:
    """All rules over one source, by as many processes as there are processors; the source is theirs by forking."""
    global _SOURCE  # noqa: PLW0603 - inherited, never sent
    _SOURCE = source
    wanted = [*rules(), *references()]
    one = functools.partial(_measured, payments)
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), mp_context=_FORK) as pool:
        rows = list(pool.map(one, wanted, chunksize=4))
    count = len(rules())
    return {"name": source.name, "accounts": len(source.accounts), "days": round(source.days, 4),
            "rules": rows[:count], "references": rows[count:]}  # fmt: skip


_SOURCE: Source | None = None
_FORK = multiprocessing.get_context("fork")


def _measured(payments: Payments, rule: Rule) -> Mapping[str, Any]:
    assert _SOURCE is not None
    return measure(_SOURCE, rule, payments)


def measure(source: Source, rule: Rule, payments: Payments) -> dict[str, Any]:
    """One rule over one source: sums over all its accounts."""
    outcomes = [
        engine.run(rule, usage, source.until_ms, payments, f"{SEED}/{place}")
        for place, usage in enumerate(source.accounts)
    ]
    shown: dict[str, Any] = {"name": rule.name, "threshold": rule.threshold, "amount": rule.amount}
    if rule.high is not None:
        shown["threshold_high"] = rule.high
    return shown | engine.total(outcomes, source.until_ms)
