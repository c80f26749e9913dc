"""The backtest: small pasts whose outcome can be said beforehand, and what it must show of the bursts."""

import datetime as dt
import json
import xml.etree.ElementTree as ET

import click.testing
import pytest

from brimful import cli
from brimful.dev.backtest import engine, page, run, sources
from brimful.dev.backtest.engine import Payments, Rule
from brimful.dev.backtest.sources import MICRO, Usage

SURE = Payments(median_s=2.0, spread=0.0, technical=0.0)
MINUTE_MS = 60_000


def past(*moves):
    """Usage of dollars at minutes."""
    usage = Usage()
    for minute, dollars in moves:
        usage.add(int(minute * MINUTE_MS), int(dollars * MICRO))
    return usage


def outcome(rule, usage, minutes=60, payments=SURE):
    return engine.run(rule, usage, minutes * MINUTE_MS, payments, "seed")


def test_idle_and_dry_are_exact():
    # 35 for half an hour, 20 for the rest; the threshold is never crossed.
    calm = outcome(Rule("fixed", 10, 25), past((30, 15)))
    assert (calm.charges, calm.dry_ms, calm.idle) == (0, 0, (35 + 20) * MICRO * 30 * MINUTE_MS)
    # 40 at once: below zero for the two seconds that the payment takes, and 20 from then on.
    dry = outcome(Rule("fixed", 10, 25), past((30, 40)))
    paid_ms = 30 * MINUTE_MS + 2001
    assert (dry.charges, dry.dry_ms) == (1, 2001)
    assert dry.idle == 35 * MICRO * 30 * MINUTE_MS + 20 * MICRO * (60 * MINUTE_MS - paid_ms)
    assert dry.largest_day == 25 * MICRO


def test_a_charge_brings_as_many_amounts_as_are_missing():
    usage = past((30, 100))
    assert outcome(Rule("fixed", 10, 25), usage).charges == 3  # one after another: -65, -40, -15, 10
    one = outcome(Rule("fixed", 10, 25, charge_max=200), usage)
    assert (one.charges, one.dry_ms) == (1, 2001)
    assert outcome(Rule("target", 10, 10, charge_max=200, target=50), usage).largest_day == 100 * MICRO


def test_others_come_late():
    usage = past((30.5, 40))
    late = outcome(Rule("every", 10, 25, every=dt.timedelta(minutes=3)), usage)
    assert late.dry_ms == int(2.5 * MINUTE_MS) + 2001
    failing = Payments(median_s=2.0, spread=0.0, technical=0.999999)
    ours = outcome(Rule("fixed", 10, 25), usage, payments=failing)
    theirs = outcome(Rule("retry", 10, 25, waits=(dt.timedelta(hours=4),)), usage, minutes=600, payments=failing)
    assert ours.ended
    assert theirs.ended


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_backup_card_steps_in_at_once(kind):
    usage = past((30, 40))
    declining = Payments(median_s=2.0, spread=0.0, technical=0.0, **{kind: 0.5})
    seen = set()
    for seed in range(40):
        alone = engine.run(Rule("fixed", 10, 25), usage, 600 * MINUTE_MS, declining, f"{seed}")
        both = engine.run(Rule("fixed", 10, 25, backup=True), usage, 600 * MINUTE_MS, declining, f"{seed}")
        seen.add((alone.dry_ms > 10_000, both.dry_ms > 10_000))
    assert (True, False) in seen


def test_an_adaptive_threshold_learns(monkeypatch):
    """A burst as the ones before it does not run dry, although a payment then fails for a minute."""
    burst = [(day * 1440 + minute / 10, 1) for day in range(5) for minute in range(600)]
    usage, minutes = past(*burst), 5 * 1440
    monkeypatch.setattr(engine.zlib, "crc32", lambda moment: 0 if moment.split(b"/")[1] == b"11530" else 2**32 - 1)
    hiccup = Payments(median_s=2.0, spread=0.0, technical=0.02)
    adaptive = engine.run(Rule("adaptive", 5, 10, charge_max=200, high=200), usage, minutes * MINUTE_MS, hiccup, "s")
    fixed = engine.run(Rule("fixed", 5, 10), usage, minutes * MINUTE_MS, hiccup, "s")
    assert adaptive.dry_ms < fixed.dry_ms


def test_on_bursts_adaptive_keeps_less_idle_and_is_less_dry(monkeypatch):
    monkeypatch.setattr(sources, "_BURST_DAYS", 8)
    source = sources.bursts(seed=run.SEED)
    rows = [run.measure(source, rule, Payments()) for rule in run.rules() if not rule.backup]
    fixed = min((row for row in rows if row["name"].startswith("fixed")), key=lambda row: row["minutes_dry"])
    best = [row for row in rows if row["name"].startswith("adaptive") and row["idle_mean"] <= 0.5 * fixed["idle_mean"]
            and row["minutes_dry"] <= 0.3 * fixed["minutes_dry"]]  # fmt: skip
    assert fixed["minutes_dry"] > 0
    assert best


def test_the_command_writes_the_result_and_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_BURST_DAYS", 1)
    monkeypatch.setattr(run, "THRESHOLDS", (10,))
    monkeypatch.setattr(run, "AMOUNTS", (25,))
    trace = tmp_path / "mine.csv"
    lines = [f"2023-11-16 18:{number // 60:02d}:{number % 60:02d},2000,300" for number in range(1800)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    arguments = ["backtest", "--trace", str(trace), "--speed", "0.5", "--json", str(tmp_path / "out.json"), "--page",
                 str(tmp_path)]  # fmt: skip
    done = click.testing.CliRunner().invoke(cli.common.cli, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["ok"]
    assert [one["name"] for one in result["traces"]] == ["mine, 2 times slower", "bursts"]
    kinds = {row["name"].split()[0] for row in result["traces"][0]["rules"]}
    assert kinds == {"fixed", "target", "adaptive"}
    assert {row["name"].split()[0] for row in result["traces"][0]["references"]} == {"every", "retry"}
    named = {"name", "threshold", "amount", "minutes_dry", "idle_mean", "charges", "largest_day"}
    assert all(named <= set(row) for row in result["traces"][0]["rules"])
    assert "mine, 2 times slower" in (tmp_path / "backtest.md").read_text()
    ET.parse(tmp_path / "images" / "backtest-1.svg")


def test_usage_that_makes_no_rule_charge_says_nothing():
    found = {"rules": [{"charges": 0}], "references": [{"charges": 5}]}
    assert not run.tells([found])
    assert run.tells([{"rules": [{"charges": 0}, {"charges": 1}], "references": []}])


def test_a_trace_that_cannot_be_used_is_named(tmp_path):
    done = click.testing.CliRunner().invoke(cli.common.cli, ["backtest", "--trace", str(tmp_path / "no.csv")])
    assert done.exit_code != 0
    assert "cannot be read" in str(done.exception) + done.output


def test_a_name_is_escaped_in_the_plot():
    shown = {"name": "a & b", "accounts": 1, "days": 1.0, "rules": [], "references": []}
    row = {"name": "fixed 1/2", "minutes_dry": 0.0, "idle_mean": 1.0, "charges": 0, "largest_day": 0.0}
    assert "a &amp; b" in page.plot({**shown, "rules": [row]})
