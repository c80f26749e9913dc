"""Budgets: limits inside a wallet, decided in the debit's own transaction."""

import asyncio
import datetime as dt
from decimal import Decimal

import pytest

from brimful import posting, worker
from brimful.posting.model import Movement
from support.harness import recorder

BUDGET = {"asset": "USD", "amount": "50", "window": "day", "subject": "key-1"}


async def budget(harness, customer_id, budget_id="key-1-a-day", *, expect=200, **more):
    path = f"/customers/{customer_id}/budgets/{budget_id}"
    return await harness.call("PUT", path, {**BUDGET, **more}, expect=expect)


async def read(harness, customer_id, budget_id="key-1-a-day", *, expect=200):
    return await harness.call("GET", f"/customers/{customer_id}/budgets/{budget_id}", expect=expect)


async def use(harness, customer_id, amount, event_id, subject="key-1", **more):
    return await harness.use(customer_id, amount, event_id, subject=subject, if_insufficient="refuse", **more)


async def told(harness, customer_id):
    return [kind for kind in await harness.events(customer_id) if kind.startswith("budget.")]


@pytest.mark.flow
async def test_a_debit_that_a_hard_budget_does_not_cover_is_refused(harness):
    """I17."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 200)
    made = await budget(harness, customer_id, name="Key 1")
    assert (made["left"], made["set_by"], made["hard"]) == ("50", "platform", True)
    assert (await use(harness, customer_id, "30", "a"))["status"] == "applied"
    refused = await use(harness, customer_id, "20.01", "b")
    assert (refused["code"], refused["budget"]["id"], refused["budget"]["used"]) == (
        "budget_exceeded", "key-1-a-day", "30",
    )  # fmt: skip
    assert refused["budget"]["resets_at"] == made["resets_at"]
    assert (await use(harness, customer_id, "20", "b"))["status"] == "applied"  # exactly at the amount
    assert (await use(harness, customer_id, "20", "b"))["status"] == "duplicate"
    assert (await use(harness, customer_id, "0.01", "c"))["code"] == "budget_exceeded"
    assert (await use(harness, customer_id, "60", "d", subject="key-2"))["status"] == "applied"
    shown = await read(harness, customer_id)
    assert (shown["used"], shown["left"], shown["beyond"]) == ("50", "0", "0")
    assert await told(harness, customer_id) == ["budget.near", "budget.reached"]
    assert await harness.balance(customer_id) == Decimal(90)


async def test_usage_that_has_happened_is_recorded_and_announced(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 200)
    await budget(harness, customer_id)
    for number in range(3):
        one = await harness.use(customer_id, "30", f"u{number}", subject="key-1")
        assert one["status"] == "applied"
    shown = await read(harness, customer_id)
    assert (shown["used"], shown["left"], shown["beyond"]) == ("90", "-40", "40")
    assert await told(harness, customer_id) == ["budget.near", "budget.reached", "budget.exceeded"]
    assert (await use(harness, customer_id, "1", "more"))["code"] == "budget_exceeded"


async def test_a_soft_budget_only_tells(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 200)
    await budget(harness, customer_id, hard=False)
    assert (await use(harness, customer_id, "39.99", "a"))["status"] == "applied"
    assert await told(harness, customer_id) == []
    assert (await use(harness, customer_id, "0.01", "b"))["status"] == "applied"
    assert await told(harness, customer_id) == ["budget.near"]
    assert (await use(harness, customer_id, "100", "c"))["status"] == "applied"
    assert await told(harness, customer_id) == ["budget.near", "budget.reached"]


async def test_what_counts_in_a_budget_counts_in_those_above_it(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 200)
    everything = {"subject": None, "dimension": None}
    await budget(harness, customer_id, "all", amount="100", window="month", **everything)
    team = {"subject": None, "dimension": {"key": "team", "value": "red"}}
    await budget(harness, customer_id, "team", amount="40", window="week", parent_id="all", **team)
    child = await budget(harness, customer_id, "key", amount="60", window="week", parent_id="team")
    assert child["notices"] == ["The parent team covers less than this budget: the parent decides first."]
    assert (await use(harness, customer_id, "40", "a"))["status"] == "applied"
    refused = await use(harness, customer_id, "1", "b")
    assert refused["budget"]["id"] == "team"  # the tightest, and named
    assert (await use(harness, customer_id, "60", "c", subject="other"))["status"] == "applied"
    refused = await use(harness, customer_id, "1", "d", subject="other")
    assert refused["budget"]["id"] == "all"
    assert [(await read(harness, customer_id, name))["used"] for name in ("all", "team", "key")] == ["100", "40", "40"]


async def test_a_hold_is_set_aside_where_it_was_made(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    await budget(harness, customer_id)
    path = f"/customers/{customer_id}/wallet/holds"
    body = {"id": "job", "asset": "USD", "amount": "30", "subject": "key-1", "expires_in_s": 3 * 86_400}
    await harness.call("POST", path, body, expect=201)
    refused = await harness.call("POST", path, {**body, "id": "other", "amount": "21"}, expect=402)
    assert (refused["code"], refused["budget"]["held"]) == ("budget_exceeded", "30")
    assert (await use(harness, customer_id, "21", "a"))["code"] == "budget_exceeded"
    await harness.pass_time(hours=24)
    shown = await read(harness, customer_id)
    assert (shown["used"], shown["held"]) == ("0", "0")  # another day
    assert (await use(harness, customer_id, "50", "b"))["status"] == "applied"
    await harness.call("POST", f"{path}/job/capture", {"amount": "31"}, expect=422)
    refused = await harness.call("POST", f"{path}/job/capture", {"amount": "51", "overrun": "covered"}, expect=402)
    assert refused["code"] == "budget_exceeded"
    await harness.call("POST", f"{path}/job/capture", {"amount": "32", "overrun": "record"}, expect=200)
    shown = await read(harness, customer_id)
    assert (shown["used"], shown["beyond"]) == ("52", "2")  # what was beyond the hold counts now
    first, second = await harness.sql("SELECT used, held, beyond FROM all_budget_windows ORDER BY ends_at")
    assert (first["used"], first["held"], first["beyond"]) == (30, 0, 0)
    assert (second["used"], second["held"]) == (52, 0)


async def test_a_release_and_an_expiry_give_it_back(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    await budget(harness, customer_id)
    path = f"/customers/{customer_id}/wallet/holds"
    body = {"asset": "USD", "amount": "20", "subject": "key-1", "expires_in_s": 60}
    await harness.call("POST", path, {**body, "id": "a"}, expect=201)
    await harness.call("POST", path, {**body, "id": "b"}, expect=201)
    assert (await read(harness, customer_id))["held"] == "40"
    await harness.call("POST", f"{path}/a/release", expect=200)
    assert (await read(harness, customer_id))["held"] == "20"
    await harness.pass_time(minutes=2)
    await posting.expire_holds.expire_due(harness.engine.database, harness.engine.keyring, harness.engine.pace)
    assert (await read(harness, customer_id))["held"] == "0"


async def test_both_stand_the_platforms_and_the_customers(harness):
    customer_id = await harness.customer()
    await budget(harness, customer_id)
    assert (await budget(harness, customer_id, amount="20"))["amount"] == "20"
    assert (await budget(harness, customer_id, window="week", expect=409))["code"] == "budget_fixed"
    await harness.call("DELETE", f"/customers/{customer_id}/budgets/key-1-a-day", expect=204)
    assert (await read(harness, customer_id, expect=404))["code"] == "budget_not_found"
    assert (await budget(harness, customer_id, expect=409))["code"] == "budget_ended"
    assert (await harness.sql("SELECT budgeted FROM accounts"))[0]["budgeted"] is False


async def test_bad_input_changes_nothing(harness):
    customer_id = await harness.customer()
    none = {"subject": None}
    await budget(harness, customer_id, "one", **none)
    for number in range(1, 4):
        await budget(harness, customer_id, f"deep-{number}", parent_id="one" if number == 1 else f"deep-{number - 1}")
    before = await harness.dump()
    for wrong, code in (
        ({"parent_id": "deep-3"}, "invalid_field"),  # five levels
        ({"parent_id": "new"}, "invalid_field"),  # itself
        ({"parent_id": "nobody"}, "invalid_field"),
        ({"asset": "EUR", "parent_id": "one"}, "invalid_field"),  # another asset than its parent's
        ({"window": "year"}, "invalid_field"),
        ({"amount": "-1"}, "amount_invalid"),
        ({"subject": "x" * 129}, "invalid_field"),
        ({"subject": " "}, "invalid_field"),
        ({"dimension": {"key": "", "value": "v"}, "subject": None}, "invalid_field"),
        ({"dimension": {"key": "k", "value": "v"}}, "invalid_field"),  # and a subject
    ):
        answer = await budget(harness, customer_id, "new", expect=422, **wrong)
        assert answer["code"] == code, (wrong, answer)
    cycle = await budget(harness, customer_id, "one", parent_id="deep-2", expect=422, **none)
    assert "below itself" in cycle["detail"]
    for wrong in (
        {"dimensions": {f"k{number}": "v" for number in range(9)}},
        {"dimensions": {"": "v"}},
        {"dimensions": {"k" * 41: "v"}},
        {"dimensions": {"k": "v" * 129}},
        {"subject": "s" * 129},
        {"subject": ""},
    ):
        body = {"id": "bad", "customer_id": customer_id, "asset": "USD", "amount": "1", **wrong}
        answer = await harness.call("POST", "/usage", body, expect=422)
        assert answer["code"] == "invalid_field", (wrong, answer)
    assert await harness.dump() == before


async def test_a_rolling_budget_sees_every_24_hours(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    await budget(harness, customer_id, window="rolling_24h")
    assert (await use(harness, customer_id, "30", "a"))["status"] == "applied"
    await harness.pass_time(hours=12)
    assert (await use(harness, customer_id, "20", "b"))["status"] == "applied"
    await harness.pass_time(hours=11, minutes=59)
    assert (await use(harness, customer_id, "1", "c"))["code"] == "budget_exceeded"
    await harness.pass_time(minutes=16)
    assert (await use(harness, customer_id, "30.01", "c"))["code"] == "budget_exceeded"
    assert (await use(harness, customer_id, "30", "c"))["status"] == "applied"


async def test_a_thousand_debits_at_once_pass_a_hundred_times(harness):
    """I17."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 5000)
    await budget(harness, customer_id, amount="100")
    answers = await asyncio.gather(*(use(harness, customer_id, "1", f"n{number}") for number in range(300)))
    assert sum(one.get("status") == "applied" for one in answers) == 100
    assert (await read(harness, customer_id))["used"] == "100"


async def test_what_a_hold_had_set_aside_is_beyond_once(harness):
    """Recorded usage beside a hold is listed once; where the hold goes unused, it was not beyond after all."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 1000)
    path = f"/customers/{customer_id}/wallet/holds"
    for subject, end, recorded, listed, beyond in (
        ("a", {"amount": "60"}, "100", "60", "60"),
        ("b", None, "100", "60", "0"),
        ("c", None, "50", "10", "0"),
    ):
        await budget(harness, customer_id, subject, subject=subject, amount="100")
        body = {"id": subject, "asset": "USD", "amount": "60", "subject": subject}
        await harness.call("POST", path, body, expect=201)
        await harness.use(customer_id, recorded, f"u-{subject}", subject=subject)
        assert (await read(harness, customer_id, subject))["beyond"] == listed
        await harness.call("POST", f"{path}/{subject}/{'capture' if end else 'release'}", end, expect=200)
        shown = await read(harness, customer_id, subject)
        used = Decimal(recorded) + (60 if end else 0)
        assert (Decimal(shown["used"]), shown["held"], shown["beyond"]) == (used, "0", beyond)


async def test_an_ended_budget_refuses_nothing(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    await budget(harness, customer_id)
    path = f"/customers/{customer_id}/wallet/holds"
    await harness.call("POST", path, {"id": "job", "asset": "USD", "amount": "30", "subject": "key-1"}, expect=201)
    await harness.call("DELETE", f"/customers/{customer_id}/budgets/key-1-a-day", expect=204)
    await harness.call("POST", f"{path}/job/capture", {"amount": "60", "overrun": "covered"}, expect=200)
    [window] = await harness.sql("SELECT used, held FROM all_budget_windows")
    assert (window["used"], window["held"]) == (30, 0)


async def test_one_id_asked_for_twice_at_once_is_one_budget(harness):
    await harness.call("POST", "/assets", {"code": "CREDIT", "name": "Credits"}, expect=201)
    customer_id = await harness.customer()
    for number in range(6):
        path = f"/customers/{customer_id}/budgets/twice-{number}"
        bodies = [{**BUDGET, "asset": asset} for asset in ("USD", "CREDIT")]
        answers = await asyncio.gather(*(harness.api.put(f"/v1{path}", json=body) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_each_side_has_room_of_its_own(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    visitor = await harness.visitor(customer_id)
    for number in range(11):
        page = await visitor.get("/limits/USD")
        page = await visitor.submit(
            page, "/billing/limits/USD", {"subject": "", "span": "day", "amount": f"{number + 1}", "hard": "yes"}
        )
    assert "There are too many limits like this one." in page.text
    await budget(harness, customer_id, "everything", subject=None)
    [own, *_] = (await harness.call("GET", f"/customers/{customer_id}/budgets?set_by=customer", expect=200))["items"]
    refused = await budget(harness, customer_id, "below", parent_id=own["id"], expect=422)
    assert "same side" in refused["detail"]


async def test_another_zone_is_heard_by_every_process(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    made = await budget(harness, customer_id)
    assert (await use(harness, customer_id, "5", "a"))["status"] == "applied"
    await harness.call("PATCH", f"/customers/{customer_id}", {"time_zone": "Pacific/Kiritimati"}, expect=204)
    assert (await read(harness, customer_id))["resets_at"] == made["resets_at"]  # a window that began ends as it began
    await harness.pass_time(days=2)
    assert (await use(harness, customer_id, "5", "b"))["status"] == "applied"
    assert "T10:00" in (await read(harness, customer_id))["resets_at"]


async def test_windows_that_nobody_asks_for_become_a_sum(harness):
    """I17 holds across it: the story's verification counts again."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    await budget(harness, customer_id)
    for number in range(3):
        assert (await use(harness, customer_id, "5", f"day-{number}"))["status"] == "applied"
        await harness.pass_time(days=1)
    assert (await use(harness, customer_id, "5", "last"))["status"] == "applied"
    assert len(await harness.sql("SELECT 1 FROM budget_windows")) == 3
    await harness.pass_time(days=37)
    await worker.periodic.slow_sweep(harness.engine)
    assert await harness.sql("SELECT 1 FROM budget_windows") == []
    [row] = await harness.sql("SELECT used_before FROM budgets")
    assert row["used_before"] == 15
    assert (await use(harness, customer_id, "50", "now"))["status"] == "applied"


async def test_another_process_is_heard(harness):
    """What a process remembers of budgets and of what they have counted gives way to what the database says."""
    customer_id = await harness.customer()
    await harness.give(customer_id, 500)
    await budget(harness, customer_id)
    beside = recorder(harness.engine.database, batch_max=100, queue_max=1000, writers=1)
    beside.start()

    async def elsewhere(key, amount):
        debit = Movement("usage", customer_id, "USD", key, Decimal(-amount), covered_only=True, subject="key-1")
        [verdict] = await beside.submit([debit])
        return verdict.outcome

    for number in range(4):
        assert (await use(harness, customer_id, "5", f"here-{number}"))["status"] == "applied"
        assert await elsewhere(f"there-{number}", 5) == "applied"
    assert (await use(harness, customer_id, "11", "here"))["code"] == "budget_exceeded"
    assert await elsewhere("there", 11) == "refused"
    await budget(harness, customer_id, amount="60")
    assert await elsewhere("there", 11) == "applied"
    assert (await use(harness, customer_id, "10", "here"))["code"] == "budget_exceeded"
    assert (await use(harness, customer_id, "9", "here"))["status"] == "applied"
    await beside.stop()


async def test_why_a_debit_is_refused(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 40)
    await budget(harness, customer_id, name="Key 1")
    path = f"/customers/{customer_id}/wallet/default:USD/explain"
    allowed = await harness.call("GET", f"{path}?amount=40&subject=key-1&dimension=team=red", expect=200)
    assert (allowed["allowed"], [one["id"] for one in allowed["budgets"]]) == (True, ["key-1-a-day"])
    refused = await harness.call("GET", f"{path}?amount=51&subject=key-1", expect=200)
    assert (refused["code"], refused["exceeded"]["name"]) == ("budget_exceeded", "Key 1")
    poor = await harness.call("GET", f"{path}?amount=41", expect=200)
    assert (poor["allowed"], poor["code"]) == (False, "insufficient_funds")


async def test_what_was_spent_for_whom(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    for number, (subject, team) in enumerate([("a", "red"), ("b", "red"), ("a", "blue")]):
        await harness.use(customer_id, "2", f"u{number}", subject=subject, dimensions={"team": team})
    path = f"/customers/{customer_id}/wallet/default:USD/spend"
    expected = [{"value": "a", "used": "4"}, {"value": "b", "used": "2"}]
    assert (await harness.call("GET", path, expect=200))["spent"] == expected
    await worker.periodic.roll_up(harness.engine)
    await harness.use(customer_id, "3", "later", subject="b", dimensions={"team": "blue"})
    shown = await harness.call("GET", path, expect=200)
    assert shown["spent"] == [{"value": "b", "used": "5"}, {"value": "a", "used": "4"}]
    by_team = await harness.call("GET", f"{path}?dimension=team", expect=200)
    assert by_team["spent"] == [{"value": "blue", "used": "5"}, {"value": "red", "used": "4"}]
    today = dt.date.fromisoformat(shown["last_day"])
    past = f"{path}?first_day={today - dt.timedelta(days=9)}&last_day={today - dt.timedelta(days=1)}"
    assert (await harness.call("GET", past, expect=200))["spent"] == []
    entries = await harness.call("GET", f"/customers/{customer_id}/wallet/default:USD/entries", expect=200)
    [entry, *_] = entries["items"]
    assert (entry["subject"], entry["dimensions"]) == ("b", {"team": "blue"})


@pytest.mark.flow
async def test_a_customer_sets_a_limit_of_their_own(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    await budget(harness, customer_id, name="Key 1", amount="60")
    for number, subject in enumerate(("key-1", "key-2", "key-1")):
        await harness.use(customer_id, "4", f"u{number}", subject=subject, dimensions={"team": "red"})
    await worker.periodic.roll_up(harness.engine)
    visitor = await harness.visitor(customer_id)
    page = await visitor.get("/limits/USD")
    assert "Key 1 · key-1" in page.text
    assert "set by" in page.text
    assert page.text.index("key-1") < page.text.index("key-2")
    assert "red" in (await visitor.get("/limits/USD?by=team")).text
    wanted = {"subject": "key-2", "span": "week", "amount": "10", "hard": "yes"}
    page = await visitor.submit(page, "/billing/limits/USD", wanted)
    assert "Your limit is saved." in page.text
    [own] = (await harness.call("GET", f"/customers/{customer_id}/budgets?set_by=customer", expect=200))["items"]
    assert (own["subject"], own["window"], own["amount"], own["hard"]) == ("key-2", "week", "10", True)
    assert (await use(harness, customer_id, "10.01", "x", subject="key-2"))["budget"]["id"] == own["id"]
    theirs = await budget(harness, customer_id, own["id"], subject="key-2", window="week", expect=409)
    assert theirs["code"] == "budget_not_yours"
    page = await visitor.get(f"/limits/USD?change={own['id']}")
    page = await visitor.submit(page, "/billing/limits/USD", {"amount": "20", "hard": "no"})
    assert "Your limit is saved." in page.text
    assert (await use(harness, customer_id, "20", "x", subject="key-2"))["status"] == "applied"
    page = await visitor.get(f"/limits/USD?change={own['id']}")
    page = await visitor.submit(page, "/billing/limits/USD/end", {})
    assert "Your limit was removed." in page.text
    assert (await harness.call("GET", f"/customers/{customer_id}/budgets?set_by=customer", expect=200))["items"] == []
    csv = await visitor.get("/activity.csv")
    assert '"key-1","team=red"' in csv.text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"amount": "0"}, "Enter an amount greater than zero."),
        ({"amount": "x"}, "Enter an amount with up to"),
        ({"subject": "s" * 129}, "Enter up to 128 plain characters."),
        ({"span": "year"}, "This did not work. Nothing was changed."),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_in_words(harness, wrong, words):
    customer_id = await harness.customer()
    await harness.give(customer_id, 100)
    visitor = await harness.visitor(customer_id)
    page = await visitor.get("/limits/USD")
    fields = {"subject": "", "span": "day", "amount": "10", "hard": "yes", **wrong}
    page = await visitor.submit(page, "/billing/limits/USD", fields)
    assert page.status_code == 422
    assert words in page.text
    assert (await harness.call("GET", f"/customers/{customer_id}/budgets", expect=200))["items"] == []
