"""The page of a backtest: for each body of usage a plot of dry minutes against idle money, and the numbers."""

import html
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 360, 70, 44, 16, 16
_FONT = 'font-family="sans-serif" font-size="12" fill="#767676"'
_KINDS = {  # by how a name begins: what the legend says, and a color that reads on white and on black
    "fixed": ("fixed", "#8a6d3b"),
    "target": ("back to a target", "#5b6abf"),
    "adaptive": ("adaptive", "#0b7a5b"),
    "every": ("evaluated every 3 or 5 minutes", "#c2571a"),
    "retry": ("retried after 4 hours", "#b3261e"),
}
_INTRO = """# Backtest

What a rule keeps idle, and how long its accounts are dry: the engine's own policy over usage, 200 accounts with a skew
(Zipf 1.1), payments that take a log-normal time with a median of two seconds, and a card that fails technically in 2 %
of tries. Written by `brimful backtest --trace FILE --page docs`; traces have the form of the Azure LLM inference traces
(`TIMESTAMP,ContextTokens,GeneratedTokens`), priced like the demo. Each account begins as if just credited.

*Dry* is time at or below zero, over all accounts. *Idle* is the money above zero, averaged over time, of all accounts
together.
"""


def write(result: Mapping[str, Any], folder: pathlib.Path) -> pathlib.Path:
    """Write `backtest.md`, and a picture for each trace into `images/`. Returns the page's path."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    parts = [_INTRO]
    for number, trace in enumerate(result["traces"], start=1):
        picture = folder / "images" / f"backtest-{number}.svg"
        picture.write_text(plot(trace), encoding="utf-8")
        parts.append(_section(trace, f"images/{picture.name}"))
    page = folder / "backtest.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _section(trace: Mapping[str, Any], picture: str) -> str:
    shown = [row for row in trace["rules"] if not row["name"].endswith("backup card")]
    some = [row for row in trace["references"] if row["name"].endswith((" 10/25", " 50/50"))]
    lines = [
        f"## {trace['name']}\n",
        f"{trace['days']:g} days, {trace['accounts']} accounts.\n",
        f"![Dry minutes against idle money: {trace['name']}]({picture})\n",
        "| rule | minutes dry | idle money | charges | largest day |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['name']} | {row['minutes_dry']:,.1f} | {row['idle_mean']:,.0f} | {row['charges']:,} | "
        f"{row['largest_day']:,.0f} |"
        for row in [*shown, *some]
    ]
    return "\n".join([*lines, ""])


def plot(trace: Mapping[str, Any]) -> str:
    """An SVG: idle money to the right, dry minutes upwards on a scale that grows tenfold, zero at its foot."""
    rows: Sequence[Mapping[str, Any]] = [*trace["references"], *trace["rules"]]
    most = max(row["idle_mean"] for row in rows) * 1.05
    top = max(2.0, math.log10(1 + 10 * max(row["minutes_dry"] for row in rows))) * 1.03
    name, size = html.escape(trace["name"]), f"0 0 {_WIDTH} {_HEIGHT + 24}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img" aria-label="{name}" {_FONT}>',
    ]
    for minutes in (0, 0.1, 1, 10, 100, 1000, 10_000, 100_000):
        if minutes and math.log10(1 + 10 * minutes) > top:
            break
        y = _y(minutes, top)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#999" stroke-opacity=".35"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{minutes:g}</text>')
    step = 10 ** math.floor(math.log10(most))
    for idle in range(0, int(most) + 1, max(1, int(step if most / step > 3 else step / 2))):
        parts.append(
            f'<text x="{_x(idle, most):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{idle:,}</text>'
        )
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 8}" text-anchor="end">idle money, dollars</text>')
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 4}">dry minutes</text>')
    for row in rows:
        color = _kind(row)[1]
        parts.append(
            f'<circle cx="{_x(row["idle_mean"], most):.1f}" cy="{_y(row["minutes_dry"], top):.1f}" r="4.5" '
            f'fill="{color}" fill-opacity=".75"><title>{html.escape(row["name"])}: {row["minutes_dry"]:,.1f} minutes, '
            f"{row['idle_mean']:,.0f} dollars</title></circle>"
        )
    parts += _legend()
    return "\n".join([*parts, "</svg>", ""])


def _legend() -> list[str]:
    parts, x = [], _LEFT
    for text, color in _KINDS.values():
        parts.append(f'<circle cx="{x}" cy="{_HEIGHT + 10}" r="4.5" fill="{color}"/>')
        parts.append(f'<text x="{x + 8}" y="{_HEIGHT + 14}" font-size="11">{text}</text>')
        x += 28 + int(len(text) * 6.1)
    return parts


def _kind(row: Mapping[str, Any]) -> tuple[str, str]:
    return _KINDS[row["name"].split()[0]]


def _x(idle: float, most: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * idle / most


def _y(minutes: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * math.log10(1 + 10 * minutes) / top
