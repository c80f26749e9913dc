"""Budgets without a database: windows, trees, and what a process remembers of them."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from brimful.budgets import counting, model, tags
from brimful.core.errors import Refused

NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
ACCOUNT = ("cus_a", "USD")


def budget(budget_id="b", *, tag="[]", span="day", amount="100", hard=True, ancestors=(), bundle=0):
    return model.Budget(
        "cus_a", budget_id, "USD", tag, None, span, Decimal(amount), hard, ancestors, "platform", NOW, None, bundle
    )


def family(*budgets):
    zoned = tuple((one, "UTC") for one in sorted(budgets, key=lambda one: one.budget_id))
    return model.Family(zoned, tuple(sorted({one.bundle for one in budgets})))


def at(families, bundles, now=NOW):
    return counting.Counting({(ACCOUNT, tag): one for tag, one in families.items()}, bundles, now)


@pytest.mark.parametrize(
    ("span", "zone", "now", "starts", "ends"),
    [
        ("day", "UTC", "2026-03-10T12:00Z", "2026-03-10T00:00Z", "2026-03-11T00:00Z"),
        ("day", "Asia/Kolkata", "2026-03-10T18:30Z", "2026-03-10T18:30Z", "2026-03-11T18:30Z"),
        ("week", "UTC", "2026-03-15T23:59Z", "2026-03-09T00:00Z", "2026-03-16T00:00Z"),
        ("month", "America/New_York", "2026-03-01T04:59Z", "2026-02-01T05:00Z", "2026-03-01T05:00Z"),
        ("month", "UTC", "2026-12-31T23:59Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("day", "Europe/Berlin", "2026-03-29T10:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),  # 23 hours
        ("day", "Europe/Berlin", "2026-10-25T10:00Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),  # 25
        ("day", "America/Havana", "2026-11-01T04:30Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),  # twice midnight
        ("day", "America/Havana", "2026-11-01T05:30Z", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),
        ("day", "Africa/Cairo", "2026-04-24T05:00Z", "2026-04-23T22:00Z", "2026-04-24T21:00Z"),  # midnight never comes
        ("day", "Mars/Olympus", "2026-03-10T12:00Z", "2026-03-10T00:00Z", "2026-03-11T00:00Z"),  # no zone any more
        ("rolling_24h", "UTC", "2026-03-10T12:14:59Z", "2026-03-10T12:00Z", "2026-03-10T12:15Z"),
        ("rolling_24h", "UTC", "2026-03-10T12:15Z", "2026-03-10T12:15Z", "2026-03-10T12:30Z"),
    ],
)  # fmt: skip
def test_a_window_is_of_the_customers_days(span, zone, now, starts, ends):
    found = model.window_at(budget(span=span), zone, dt.datetime.fromisoformat(now))
    assert found == (dt.datetime.fromisoformat(starts), dt.datetime.fromisoformat(ends))


def test_a_window_that_began_ends_as_it_began_in_another_zone_too():
    bundle = counting.Bundle("cus_a", "USD", 0, [])
    one = family(budget())
    first = at({"[]": one}, {bundle.key: bundle})
    first.use(first.of(ACCOUNT, None, None), Decimal(60))
    [window] = bundle.windows
    moved = model.Family(((one.budgets[0][0], "Pacific/Kiritimati"),), (0,))
    second = at({"[]": moved}, {bundle.key: bundle}, NOW + dt.timedelta(hours=1))
    second.use(second.of(ACCOUNT, None, None), Decimal(20))
    assert (bundle.windows, window.used) == ([window], 80)


def test_two_families_find_the_same_sums_in_their_parent():
    """Each has its own copy of the parent, as two look-ups of the database bring it."""
    bundle = counting.Bundle("cus_a", "USD", 0, [])
    red = family(budget("red", tag='["red"]', ancestors=("all",)), budget("all", tag='["none"]', amount="50"))
    blue = family(budget("blue", tag='["blue"]', ancestors=("all",)), budget("all", tag='["none"]', amount="50"))
    families = {'["red"]': red, '["blue"]': blue}
    for turn in range(3):
        found = at(families, {bundle.key: bundle}, NOW + dt.timedelta(seconds=turn))
        for subject in ("red", "blue"):
            found.use(found.of(ACCOUNT, subject, None), Decimal(5))
        assert [one.used for one in found.of(ACCOUNT, "red", None)] == [10 * (turn + 1), 5 * (turn + 1)]
    found = at(families, {bundle.key: bundle}, NOW + dt.timedelta(minutes=1))
    for subject in ("red", "blue"):
        assert found.exceeded(found.of(ACCOUNT, subject, None), Decimal("20.01")).budget_id == "all"
        assert found.exceeded(found.of(ACCOUNT, subject, None), Decimal(20)) is None


def test_what_is_remembered_ends_with_its_window():
    bundle = counting.Bundle("cus_a", "USD", 0, [])
    one = family(budget(amount="10"))
    found = at({"[]": one}, {bundle.key: bundle})
    found.use(found.of(ACCOUNT, None, None), Decimal(10))
    assert found.exceeded(found.of(ACCOUNT, None, None), Decimal(1)) is not None
    tomorrow = at({"[]": one}, {bundle.key: bundle}, NOW + dt.timedelta(days=1))
    assert tomorrow.exceeded(tomorrow.of(ACCOUNT, None, None), Decimal(10)) is None


def test_a_clock_that_steps_back_over_midnight_finds_the_window_of_then():
    bundle = counting.Bundle("cus_a", "USD", 0, [])
    one = family(budget(amount="50"))
    for now, amount in ((NOW, 40), (NOW + dt.timedelta(hours=12, seconds=1), 5)):
        found = at({"[]": one}, {bundle.key: bundle}, now)
        found.use(found.of(ACCOUNT, None, None), Decimal(amount))
    bundle.running.clear()
    bundle.families.clear()
    back = at({"[]": one}, {bundle.key: bundle}, NOW + dt.timedelta(hours=11, minutes=59))
    assert back.exceeded(back.of(ACCOUNT, None, None), Decimal("10.01")) is not None
    assert back.exceeded(back.of(ACCOUNT, None, None), Decimal(10)) is None


def test_another_zone_is_not_taken_for_the_same():
    bundle = counting.Bundle("cus_a", "USD", 0, [])
    one = budget()
    assert bundle.run(one, "UTC", NOW).zone == "UTC"
    assert bundle.run(one, "Asia/Tokyo", NOW).zone == "Asia/Tokyo"


amounts = st.decimals("0.01", "60", places=2)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), amounts, st.booleans(), st.integers(0, 40)), max_size=40))
def test_a_naive_model_says_the_same(debits):
    """Days and rolling windows over a tree, each debit checked again from all that came before it."""
    tree = [
        budget("all", span="week", amount="200"),
        budget("a", tag='["a"]', amount="50", ancestors=("all",)),
        budget("b", tag='["b"]', amount="70", span="rolling_24h", bundle=1),
    ]
    bundles = {("cus_a", "USD", number): counting.Bundle("cus_a", "USD", number, []) for number in (0, 1)}
    families = {"[]": family(tree[0]), '["a"]': family(tree[0], tree[1]), '["b"]': family(tree[2])}
    now, passed = NOW, []
    for subject, amount, refuse, hours in debits:
        now += dt.timedelta(hours=hours)
        found = at(families, bundles, now)
        matched = found.of(ACCOUNT, subject, None)
        exceeded = found.exceeded(matched, amount)
        expected = set()
        for one in tree:
            if one.tag not in {"[]", tags.of_subject(subject)}:
                continue
            begins = _begins(one, now)
            used = sum(value for moment, name, value in passed if moment >= begins and one.tag in {
                "[]", tags.of_subject(name)})  # fmt: skip
            if used + amount > one.amount:
                expected.add(one.budget_id)
        assert (exceeded is not None) == bool(expected)
        assert exceeded is None or exceeded.budget_id in expected
        if refuse and exceeded is not None:
            continue
        found.use(matched, amount)
        passed.append((now, subject, amount))
        for bundle in bundles.values():
            assert all(window.used - window.beyond <= window.most for window in bundle.windows)


def _begins(one, now):
    if one.span == "rolling_24h":
        quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
        return quarter - dt.timedelta(hours=24)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - dt.timedelta(days=now.weekday()) if one.span == "week" else midnight


@pytest.mark.parametrize("wrong", [{"": "v"}, {"k": ""}, {"k" * 41: "v"}, {"k": "v" * 129}, {" k": "v"}, {"k\n": "v"},
                                   {str(n): "v" for n in range(9)}, {"é": "1", "e\u0301": "2"}])  # fmt: skip
def test_dimensions_that_cannot_be(wrong):
    with pytest.raises(Refused):
        tags.dimensions(wrong)


def test_two_that_look_the_same_are_the_same():
    assert tags.subject("caf\u00e9") == tags.subject("cafe\u0301")
    assert tags.parts(tags.of_dimension('k"', "v\\")) == ('k"', "v\\")
