"""Writes deploy/grafana/brimful.json: the dashboard, from the table below. A test runs every query of it."""

import json
import pathlib
from typing import Any

FILE = pathlib.Path(__file__).parents[1] / "deploy" / "grafana" / "brimful.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}


def _quantile(share: float, name: str, by: str = "le") -> str:
    return f"histogram_quantile({share}, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"


# Row, then panels: title, kind, unit, width of 24, {legend: query}.
ROWS: list[tuple[str, list[tuple[str, str, str, int, dict[str, str]]]]] = [
    (
        "Is it right?",
        [
            ("Invariants that hold", "stat", "none", 6, {"{{invariant}}": "min by (invariant) (brimful_invariant_ok)"}),
            (
                "Books off by, minor units",
                "stat",
                "none",
                6,
                {"{{currency}}": "max by (currency) (brimful_imbalance_minor)"},
            ),
            ("Charging suspended", "stat", "none", 6, {"{{kind}}": "max by (kind) (brimful_charging_suspended)"}),
            (
                "For a person",
                "stat",
                "none",
                6,
                {
                    "to review": "max(brimful_top_ups_to_review)",
                    "stuck": "max(brimful_top_ups_stuck)",
                    "events set aside": "max(brimful_stripe_events_quarantined)",
                    "webhooks disabled": "max(brimful_webhooks_disabled)",
                },
            ),
        ],
    ),
    (
        "Do customers stay funded?",
        [
            (
                "From the debit to the charge",
                "timeseries",
                "s",
                8,
                {"p50": _quantile(0.5, "brimful_trigger_seconds"), "p99": _quantile(0.99, "brimful_trigger_seconds")},
            ),
            (
                "From the payment to the credit",
                "timeseries",
                "s",
                8,
                {"p50": _quantile(0.5, "brimful_credit_seconds"), "p99": _quantile(0.99, "brimful_credit_seconds")},
            ),
            (
                "What a customer waits",
                "timeseries",
                "s",
                8,
                {"p50": _quantile(0.5, "brimful_funding_seconds"), "p99": _quantile(0.99, "brimful_funding_seconds")},
            ),
            (
                "Below zero",
                "timeseries",
                "none",
                8,
                {
                    "balances, now": "max(brimful_accounts_below_zero)",
                    "credits that came too late": "sum(rate(brimful_below_zero_seconds_count[$__rate_interval])) "
                    '- sum(rate(brimful_below_zero_seconds_bucket{le="0.0"}[$__rate_interval]))',
                },
            ),
            (
                "Top-ups that ended, per second",
                "timeseries",
                "ops",
                8,
                {
                    "{{kind}} {{state}} {{reason}}": "sum by (kind, state, reason) "
                    "(rate(brimful_top_ups_ended_total[$__rate_interval]))"
                },
            ),
            ("Live top-ups", "timeseries", "none", 8, {"{{state}}": "max by (state) (brimful_top_ups_live)"}),
        ],
    ),
    (
        "Usage",
        [
            (
                "Movements per second",
                "timeseries",
                "ops",
                8,
                {"{{outcome}}": "sum by (outcome) (rate(brimful_movements_total[$__rate_interval]))"},
            ),
            (
                "A batch, from its locks to its commit",
                "timeseries",
                "s",
                8,
                {"p50": _quantile(0.5, "brimful_posting_seconds"), "p99": _quantile(0.99, "brimful_posting_seconds")},
            ),
            (
                "Answers per second",
                "timeseries",
                "ops",
                8,
                {"{{door}} {{status}}": "sum by (door, status) (rate(brimful_http_responses_total[$__rate_interval]))"},
            ),
        ],
    ),
    (
        "Stripe",
        [
            (
                "Calls, p99",
                "timeseries",
                "s",
                8,
                {"{{endpoint}}": _quantile(0.99, "brimful_stripe_call_seconds", "le, endpoint")},
            ),
            (
                "Calls per second, by outcome",
                "timeseries",
                "ops",
                8,
                {"{{outcome}}": "sum by (outcome) (rate(brimful_stripe_call_seconds_count[$__rate_interval]))"},
            ),
            (
                "Events",
                "timeseries",
                "ops",
                8,
                {
                    "{{outcome}}": "sum by (outcome) (rate(brimful_stripe_events_total[$__rate_interval]))",
                    "lag p99, s": _quantile(0.99, "brimful_stripe_event_lag_seconds"),
                    "waiting": "max(brimful_stripe_events_waiting)",
                },
            ),
        ],
    ),
    (
        "Worker and webhooks",
        [
            (
                "Jobs",
                "timeseries",
                "none",
                8,
                {
                    "due": "max(brimful_queue_jobs)",
                    "age of the oldest, s": "max(brimful_queue_age_seconds)",
                    "workers": "max(brimful_workers_alive)",
                },
            ),
            (
                "Deliveries to the platform",
                "timeseries",
                "none",
                8,
                {
                    "{{outcome}} per second": "sum by (outcome) (rate(brimful_deliveries_total[$__rate_interval]))",
                    "waiting": "max(brimful_deliveries_waiting)",
                    "late, s": "max(brimful_deliveries_late_seconds)",
                },
            ),
            (
                "Memory",
                "timeseries",
                "bytes",
                8,
                {"{{job}} {{instance}}": 'process_resident_memory_bytes{job=~"brimful.*"}'},
            ),
        ],
    ),
]


def _panel(number: int, x: int, y: int, panel: tuple[str, str, str, int, dict[str, str]]) -> dict[str, Any]:
    title, kind, unit, width, queries = panel
    return {
        "id": number,
        "title": title,
        "type": kind,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": 8 if kind == "timeseries" else 5},
        "fieldConfig": {"defaults": {"unit": unit, "min": None if unit == "none" else 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if kind == "timeseries" else {},
        "targets": [
            {"refId": chr(65 + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(queries.items())
        ],
    }


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}})  # fmt: skip
        x, y = 0, y + 1
        for panel in row:
            if x + panel[3] > 24:
                x, y = 0, y + 8
            panels.append(_panel(len(panels) + 1, x, y, panel))
            x += panel[3]
        y += 8
    return {
        "uid": "brimful",
        "title": "Brimful",
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": panels,
    }


def text() -> str:
    """The file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"written: {FILE}")
