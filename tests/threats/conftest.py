"""Each attack counts what it tried; whatever got through fails, and `make attack` prints the table."""

import pytest

from support.attack import GOAL_MS, Attack, long_form

ROWS = []


@pytest.fixture
def attack(request):
    made = Attack((request.node.function.__doc__ or request.node.name).splitlines()[0].rstrip("."))
    ROWS.append(made)
    yield made
    assert made.tried > 0
    assert made.through == [], "\n".join(made.through)


def pytest_terminal_summary(terminalreporter):
    if not long_form():
        return
    say = terminalreporter.write_line
    say(f"\n{'tried':>9}  {'got through':>11}  {f'p99, of {GOAL_MS} ms':>13}  attack")
    for row in ROWS:
        p99 = "" if row.p99_ms is None else f"{row.p99_ms:.1f} ms"
        say(f"{row.tried:>9}  {len(row.through):>11}  {p99:>13}  {row.name}")
        if row.p99_ms is not None and row.p99_ms > GOAL_MS:
            say(f"{'':>37}  the slowest: {row.slowest[0] * 1000:.0f} ms, {row.slowest[1]}")
    say(f"{sum(row.tried for row in ROWS):>9}  {sum(len(row.through) for row in ROWS):>11}  {'':>13}  in all")
