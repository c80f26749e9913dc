"""Credits in lots: gifts expire, paid money stays, refunds take their own credit, a bonus goes back in proportion."""

import asyncio
import datetime as dt
from decimal import Decimal

import pytest

from brimful import ledger, operations, posting, worker
from brimful.cli import importing
from brimful.core import clock
from brimful.ledger.lots import Terms
from integration.test_commands import command
from support.credits import DAY, grant, grants, kinds, last_event, left, moment, offer, paid, refund
from support.harness import LEDGER_KEYS

NEVER = "9999-12-31T23:59:59Z"


@pytest.mark.flow
async def test_a_gift_burns_first_and_its_rest_expires(harness):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 50, "invoice", reason="external_topup")
    ends = await moment(harness, days=7)
    await grant(harness, customer_id, 20, "welcome", reason="gift", expires_at=ends)
    await harness.use(customer_id, "8", "job")
    items = (await grants(harness, customer_id))["items"]
    names = "transaction_id", "available", "purpose", "priority", "status"
    assert [tuple(one[name] for name in names) for one in items] == [
        ("welcome", "12", "promotional", 20, "active"), ("invoice", "50", "paid", 50, "active"),
    ]  # fmt: skip
    assert (items[0]["expires_at"], items[1]["expires_at"]) == (ends, NEVER)
    harness.clock.offset += 7 * DAY
    done = await harness.use(customer_id, "1", "after")
    assert (done["balance"], done["available"]) == ("49", "49")  # what was left of the gift is no part of it any more
    assert (await kinds(harness, customer_id))[-2:] == [("expiry", Decimal(-12)), ("usage", Decimal(-1))]
    [expiry] = await harness.sql("SELECT occurred_at FROM entries WHERE kind = 'expiry'")
    assert clock.rfc3339(expiry["occurred_at"]) == ends
    assert (await harness.events(customer_id))[-1] == "credit.expired"
    [gift, _] = (await grants(harness, customer_id))["items"]
    assert (gift["available"], gift["status"]) == ("0", "expired")


async def test_where_nobody_debits_a_job_posts_the_expiry(harness):
    customer_id, visitor = await harness.funded(balance=12, threshold="10")
    await grant(harness, customer_id, 5, "gift", reason="gift", expires_at=await moment(harness, hours=1))
    assert await harness.balance(customer_id) == 17
    await harness.use(customer_id, "3", "some")
    harness.clock.offset += dt.timedelta(hours=1)
    await worker.periodic.post_due_credits(harness.engine)
    assert await harness.balance(customer_id) == 12
    [row] = await harness.sql("SELECT lots_due_at FROM accounts WHERE customer_id = %s", (customer_id,))
    assert row["lots_due_at"] is None
    await worker.periodic.post_due_credits(harness.engine)
    assert [kind for kind, _ in await kinds(harness, customer_id)].count("expiry") == 1


async def test_an_expiry_that_takes_the_balance_below_the_threshold_tops_it_up(harness):
    customer_id, _ = await harness.funded(balance=12, threshold="10", amount="25")
    ends = await moment(harness, hours=1)
    await grant(harness, customer_id, 5, "gift", reason="gift", priority=90, expires_at=ends)
    await harness.use(customer_id, "6", "some")
    assert await harness.top_ups(customer_id) == []
    harness.clock.offset += dt.timedelta(hours=1)
    await worker.periodic.post_due_credits(harness.engine)
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], await harness.balance(customer_id)) == ("succeeded", 6 + 25)


async def test_a_credit_begins_at_its_moment(harness):
    customer_id = await harness.customer()
    begins = await moment(harness, days=2)
    posted = await grant(
        harness, customer_id, 30, "june", effective_at=begins, expires_at=await moment(harness, days=9)
    )
    assert posted["balance"] == "0"
    assert (await grant(harness, customer_id, 30, "june", effective_at=begins))["balance"] == "0"  # the same again
    assert (await grant(harness, customer_id, 31, "june", expect=409))["code"] == "key_reused"
    shown = await grants(harness, customer_id)
    assert (shown["items"], [one["status"] for one in shown["scheduled"]]) == ([], ["scheduled"])
    path = f"/customers/{customer_id}/wallet/transactions/june"
    assert (await harness.call("GET", path, expect=200))["executed_at"] == begins
    refused = await harness.use(customer_id, "1", "early", if_insufficient="refuse")
    assert refused["code"] == "insufficient_funds"
    harness.clock.offset += 2 * DAY
    done = await harness.use(customer_id, "1", "then", if_insufficient="refuse")
    assert done["balance"] == "29"
    assert (await grants(harness, customer_id))["scheduled"] == []
    assert (await grant(harness, customer_id, 30, "june"))["balance"] == "29"
    harness.clock.offset += 7 * DAY
    await worker.periodic.post_due_credits(harness.engine)
    assert await harness.balance(customer_id) == 0


async def test_a_credit_that_begins_and_its_own_key_come_in_one_batch(harness):
    customer_id = await harness.customer()
    begins = await moment(harness, hours=1)
    await grant(harness, customer_id, 30, "june", effective_at=begins)
    harness.clock.offset += dt.timedelta(hours=1)
    assert (await grant(harness, customer_id, 30, "june", effective_at=begins))["balance"] == "30"
    assert await kinds(harness, customer_id) == [("adjustment", 30)]


@pytest.mark.parametrize("ahead", [{"days": 6}, {"hours": 20}])
async def test_before_a_credit_expires_its_customer_hears_of_it_once(harness, ahead):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 20, "gift", reason="gift", expires_at=await moment(harness, **ahead))
    await grant(harness, customer_id, 20, "other", reason="gift", expires_at=await moment(harness, days=30))
    await harness.use(customer_id, "8", "job")
    for _ in range(2):
        await worker.periodic.announce_expiring(harness.engine)
    data = await last_event(harness, customer_id, "credit.expiring")
    assert (data["amount"], data["days"]) == ("12", 7 if "days" in ahead else 1)
    assert (await harness.events(customer_id)).count("credit.expiring") == 1
    if "days" in ahead:
        harness.clock.offset += dt.timedelta(days=5)
        await worker.periodic.announce_expiring(harness.engine)
        assert (await harness.events(customer_id)).count("credit.expiring") == 2


async def test_of_a_credit_that_is_used_up_nothing_is_said(harness):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 20, "gift", reason="gift", expires_at=await moment(harness, days=6))
    await harness.use(customer_id, "20", "job")
    await worker.periodic.announce_expiring(harness.engine)
    assert await harness.events(customer_id) == []


# --- holds keep what they need ---------------------------------------------------------------------------------------


async def held(harness, customer_id, amount, name="job"):
    body = {"id": name, "asset": "USD", "amount": str(amount), "expires_in_s": 86_400}
    await harness.call("POST", f"/customers/{customer_id}/wallet/holds", body, expect=201)
    return f"/customers/{customer_id}/wallet/holds/{name}"


async def lapsing(harness):
    """60 of a gift, 40 that were paid, 60 of them held; then the gift expires."""
    customer_id = await harness.customer()
    await grant(harness, customer_id, 60, "gift", reason="gift", expires_at=await moment(harness, hours=1))
    await grant(harness, customer_id, 40, "paid", purpose="paid")
    hold = await held(harness, customer_id, 60)
    harness.clock.offset += dt.timedelta(hours=1)
    await worker.periodic.post_due_credits(harness.engine)
    return customer_id, hold


async def test_what_a_hold_needs_stays_until_it_is_captured(harness):
    customer_id, hold = await lapsing(harness)
    assert await left(harness, customer_id) == {"gift": 20, "paid": 40}
    assert (await grants(harness, customer_id))["items"][1]["status"] == "lapsing"
    await harness.call("POST", f"{hold}/capture", {"amount": "30"}, expect=200)
    assert await left(harness, customer_id) == {"gift": 0, "paid": 30}


async def test_what_a_hold_did_not_need_goes_when_it_is_released(harness):
    customer_id, hold = await lapsing(harness)
    await harness.call("POST", f"{hold}/release", expect=200)
    assert await left(harness, customer_id) == {"gift": 0, "paid": 40}
    assert await harness.balance(customer_id) == 40


async def test_what_a_hold_did_not_need_goes_when_it_expires(harness):
    customer_id, _ = await lapsing(harness)
    harness.clock.offset += DAY
    await worker.queue.JobHandlers(harness.engine).expire(0)
    assert await left(harness, customer_id) == {"gift": 0, "paid": 40}


async def test_in_one_batch_what_a_release_lets_go_is_not_there_for_the_next(harness):
    customer_id, hold = await lapsing(harness)
    await harness.call("POST", f"{hold}/release", expect=200)
    refused = await harness.use(customer_id, "41", "after", if_insufficient="refuse")
    assert refused["code"] == "insufficient_funds"


@pytest.mark.parametrize(
    ("freeing", "next_one", "posted"),
    [
        ({"kind": "adjustment", "key": "new", "amount": Decimal(20), "terms": Terms.of("paid")}, -20, [20, -20]),
        ({"kind": "release", "key": "job", "amount": Decimal(0)}, -41, [-20]),
    ],
)
async def test_in_one_batch_what_is_freed_of_an_expired_credit_goes_at_once(harness, freeing, next_one, posted):
    """A debit after it, in the same batch, does not find it; other accounts are posted together."""
    customer_id, _ = await lapsing(harness)
    writer = posting.batch.BatchWriter(harness.engine.database, harness.engine.keyring, harness.engine.pace)
    asked = [
        posting.model.Movement(customer_id=customer_id, asset="USD", **freeing),
        posting.model.Movement("usage", customer_id, "USD", "next", Decimal(next_one), covered_only=True),
        posting.model.Movement("usage", await harness.customer(), "USD", "another's", Decimal(-1)),
    ]
    first, second, third = await writer.write(asked)
    assert (first.outcome, second.code, third.outcome) == ("applied", "insufficient_funds", "applied")
    assert [amount for _, amount in await kinds(harness, customer_id)] == [60, 40, -40, *posted]


# --- statements, checkpoints -----------------------------------------------------------------------------------------


async def test_a_grant_shows_which_movements_took_of_it(harness):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 10, "first")
    await grant(harness, customer_id, 10, "second")
    for number, amount in enumerate(("4", "4", "4")):
        await harness.use(customer_id, amount, f"job-{number}")
    [second, first] = (await grants(harness, customer_id))["items"]
    path = f"/customers/{customer_id}/wallet/default:USD/grants"
    shown = await harness.call("GET", f"{path}/{first['id']}/entries", params={"limit": 2}, expect=200)
    assert [(one["key"], one["taken"], one["available"]) for one in shown["items"]] == [
        ("job-0", "4", "6"), ("job-1", "4", "2"),
    ]  # fmt: skip
    more = await harness.call(
        "GET", f"{path}/{first['id']}/entries", params={"limit": 2, "cursor": shown["next_cursor"]}, expect=200
    )
    assert [(one["key"], one["taken"], one["available"]) for one in more["items"]] == [("job-2", "2", "0")]
    assert more["next_cursor"] is None
    shown = await harness.call("GET", f"{path}/{second['id']}/entries", expect=200)
    assert [(one["key"], one["taken"]) for one in shown["items"]] == [("job-2", "2")]
    assert (await harness.call("GET", f"{path}/ent_{'0' * 32}/entries", expect=404))["code"] == "grant_not_found"


async def many(harness, customer_id, count, name="m"):
    events = [{"id": f"{name}-{number}", "customer_id": customer_id, "asset": "USD", "amount": "0.01"}
              for number in range(count)]  # fmt: skip
    for first in range(0, count, 500):
        await harness.call("POST", "/usage", {"events": events[first : first + 500]})


async def test_a_checkpoint_is_kept_and_one_that_was_forged_is_not_believed(harness, caplog):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 100, "gift", reason="gift", expires_at=await moment(harness, days=1))
    await many(harness, customer_id, 1200)
    await worker.periodic.advance_lots(harness.engine)
    [row] = await harness.sql("SELECT seq, state FROM lot_checkpoints WHERE customer_id = %s", (customer_id,))
    assert row["seq"] == 1201
    assert await left(harness, customer_id) == {"gift": 88}
    await harness.sql("UPDATE lot_checkpoints SET state = replace(state, '\"88\"', '\"95\"')")
    assert await left(harness, customer_id) == {"gift": 88}
    assert "is not one that was signed" in caplog.text
    await harness.sql("UPDATE lot_checkpoints SET state = %s", (row["state"],))


# --- bad input -------------------------------------------------------------------------------------------------------


async def test_bad_terms_are_refused_and_change_nothing(harness):
    customer_id = await harness.customer()
    past, soon, later = [await moment(harness, days=days) for days in (-1, 1, 2)]
    for terms, field in (
        ({"expires_at": past}, "expires_at"),
        ({"effective_at": later, "expires_at": soon}, "expires_at"),
        ({"effective_at": soon, "expires_at": soon}, "expires_at"),
        ({"priority": 101}, "priority"),
        ({"priority": -1}, "priority"),
        ({"purpose": "bonus"}, "purpose"),
        ({"amount": "-5", "expires_at": soon}, "expires_at"),
        ({"amount": "-5", "priority": 3}, "priority"),
        ({"amount": "-5", "effective_at": soon}, "effective_at"),
    ):
        refused = await grant(harness, customer_id, terms.pop("amount", 5), "x", expect=422, **terms)
        assert refused["errors"][0]["field"] == field, (terms, refused)
    assert (await grants(harness, customer_id))["total_count"] == 0


async def test_bad_offers_are_refused_and_the_old_ones_stay(harness):
    good = await offer(harness, {"amount_from": "100", "percent": "10"})
    assert good["version"] == 1
    ten, soon, later = (
        {"amount_from": "10", "percent": "10"},
        await moment(harness, days=1),
        await moment(harness, days=2),
    )
    for wrong, code in (
        ([{**ten, "percent": "100.01"}], "amount_out_of_range"),
        ([{**ten, "percent": "0"}], "amount_out_of_range"),
        ([{**ten, "percent": "-1"}], "amount_out_of_range"),
        ([ten, {**ten, "percent": "20"}], "offer_overlaps"),
        ([{**ten, "valid_to": later}, {**ten, "valid_from": soon}], "offer_overlaps"),
        ([{**ten, "valid_from": later, "valid_to": soon}], "invalid_field"),
        ([{**ten, "currency": "EUR"}], "invalid_field"),
        ([{**ten, "amount_from": "0"}], "amount_invalid"),
        ([{**ten, "expires_after_days": 0}], "invalid_field"),
    ):
        refused = await offer(harness, *wrong, expect=409 if code == "offer_overlaps" else 422)
        assert refused["code"] == code, (wrong, refused)
    assert await harness.call("GET", "/assets/USD/offers", expect=200) == good
    two = await offer(harness, {**ten, "valid_to": soon}, {**ten, "percent": "20", "valid_from": soon})
    assert (two["version"], len(two["offers"])) == (2, 2)
    assert (await offer(harness))["offers"] == []


async def test_debits_that_cross_at_once_never_use_what_expired(harness):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 50, "gift", reason="gift", expires_at=await moment(harness, hours=1))
    await grant(harness, customer_id, 10, "paid", purpose="paid")
    harness.clock.offset += dt.timedelta(hours=1)
    answers = await asyncio.gather(
        *(harness.use(customer_id, "1", f"c-{number}", if_insufficient="refuse") for number in range(40))
    )
    assert sum(answer.get("status") == "applied" for answer in answers) == 10


# --- the rule, the portal --------------------------------------------------------------------------------------------


async def test_a_rule_may_leave_promotional_credit_out(harness):
    customer_id, visitor = await harness.funded(balance=12, threshold="10", amount="25")
    await grant(harness, customer_id, 20, "gift", reason="gift", priority=90)
    await harness.use(customer_id, "3", "counted")  # 9 that were paid and a gift of 20
    assert await harness.top_ups(customer_id) == []
    page = await visitor.get("/auto-top-up/USD")
    wanted = {"threshold": "10", "amount": "25", "limit": "100", "paid_only": "yes", "action": "save", "agreed": "yes"}
    page = await visitor.submit(page, "", wanted)
    assert "$10.00, promotional credit not counted" in page.text
    await visitor.submit(page, "", {**wanted, "agreed": "yes"})
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], (await harness.rule(customer_id))["promotional_counts"]) == ("succeeded", False)
    await harness.use(customer_id, "24", "more")  # 10 that were paid: not below
    assert len(await harness.top_ups(customer_id)) == 1
    await harness.use(customer_id, "1", "crossing")
    await harness.work()
    assert len(await harness.top_ups(customer_id)) == 2


async def test_a_gift_that_burns_first_does_not_hide_what_is_paid(harness):
    customer_id, visitor = await harness.funded(balance=12, threshold="10", amount="25")
    await visitor.turn_on("USD", threshold="10", amount="25", limit="100", paid_only="yes")
    await grant(harness, customer_id, 20, "gift", reason="gift")
    for number in range(5):
        await harness.use(customer_id, "4", f"gift-{number}")
    assert await harness.top_ups(customer_id) == []  # the gift is used up, and 12 are left
    await harness.use(customer_id, "3", "crossing")
    assert len(await harness.top_ups(customer_id)) == 1


async def test_the_portal_shows_each_credit_and_what_is_used_next(harness):
    await offer(harness, {"amount_from": "20", "percent": "10", "expires_after_days": 90})
    customer_id, _ = await paid(harness)
    ends = await moment(harness, days=5)
    await grant(harness, customer_id, 7, "gift", reason="gift", expires_at=ends)
    await grant(harness, customer_id, 5, "june", reason="gift", effective_at=ends)
    await harness.use(customer_id, "1", "job", description="Video")
    visitor = await harness.visitor(customer_id)
    page = (await visitor.get("/credits/USD")).text
    order = [page.index(text) for text in ("$6.00", "$2.50", "$9.00", "$25.00")]  # gift, bonus, correction, top-up
    assert order == sorted(order)
    assert page.count("Used next") == 1
    assert page.index("Used next") < order[1]
    assert "Later" in page
    assert "$6.00 of it expires on" in (await visitor.get("/")).text
    activity = (await visitor.get("/activity")).text
    assert "from credit you were given" in activity
    assert "Bonus" in activity


async def test_an_offer_is_shown_before_paying_and_in_the_consent(harness):
    await offer(harness, {"amount_from": "20", "percent": "12.5", "expires_after_days": 90})
    customer_id, visitor = await harness.funded(balance=30)
    page = (await visitor.get("/top-up?asset=USD")).text
    assert "$3.125, for 90 days" in page
    rule = (await visitor.get("/auto-top-up/USD")).text
    assert "While this offer lasts, a charge of $20.00 or more brings 12.5% on top, for 90 days." in rule
    paid_page = await visitor.submit(await visitor.get("/top-up?asset=USD"), "/billing/top-up", {"amount": "25"})
    await harness.work()
    assert paid_page.status_code == 200
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["bonus_units"], top_up["state"]) == ("3.125", "succeeded")
    receipt = (await visitor.get(f"/receipts/{top_up['id']}")).text
    assert "$3.125, for 90 days" in receipt


# --- out ------------------------------------------------------------------------------------------------------------


async def test_what_is_left_of_each_credit_is_exported_as_it_can_be_imported(harness, tmp_path):
    customer_id = await harness.customer(external_id="lot-1")
    await grant(harness, customer_id, "12.5", "paid", purpose="paid")
    await grant(harness, customer_id, 20, "gift", reason="gift", expires_at="2099-01-31T00:00:00Z")
    await harness.use(customer_id, "8", "job")
    file = tmp_path / "credits.csv"
    file.write_text(await command(harness, "export", "credits", "--customer", "lot-1"))
    rows = [(row.asset, row.balance, row.purpose, row.problems) for row in importing.read(file)]
    assert rows == [("USD", 12, "promotional", ()), ("USD", Decimal("12.5"), "paid", ())]


# --- what would be noticed -------------------------------------------------------------------------------------------


async def test_a_refund_takes_nothing_of_a_credit_that_had_expired(harness):
    """What expires with the very refund is gone first, so the refund takes from what is left."""
    customer_id, intent = await paid(harness)
    await grant(harness, customer_id, 5, "gift", reason="gift", expires_at=await moment(harness, hours=1))
    harness.clock.offset += dt.timedelta(hours=1)
    await refund(harness, intent, 500)
    assert (await kinds(harness, customer_id))[-2:] == [("expiry", -5), ("refund", -5)]


@pytest.mark.tampers
async def test_a_planned_credit_that_we_did_not_sign_never_begins(harness, caplog):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 30, "june", effective_at=await moment(harness, hours=1))
    await grant(harness, customer_id, 5, "july", effective_at=await moment(harness, hours=1))
    await harness.sql("UPDATE scheduled_credits SET amount = 9000 WHERE key = 'june'")
    harness.clock.offset += dt.timedelta(hours=1)
    await worker.periodic.post_due_credits(harness.engine)
    assert await kinds(harness, customer_id) == [("adjustment", 5)]
    assert "ALARM the planned credit june" in caplog.text


@pytest.mark.tampers
async def test_terms_that_were_changed_afterwards_are_named(harness):
    customer_id = await harness.customer()
    ends = await moment(harness, days=7)
    await grant(harness, customer_id, 5, "gift", reason="gift", expires_at=ends)
    await harness.sql("UPDATE entries SET expires_at = expires_at + interval '1 year'")
    found = await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)
    assert "it was changed after it was written" in next(one.detail for one in found if not one.ok)


@pytest.mark.tampers
async def test_verification_names_what_a_checkpoint_says_wrongly(harness):
    customer_id = await harness.customer()
    await grant(harness, customer_id, 50, "gift", reason="gift", expires_at=await moment(harness, days=7))
    await harness.use(customer_id, "1", "job")
    lots = ledger.lots.Lots(2, Decimal(49), [])
    async with harness.engine.database.transaction() as tx:
        await ledger.lot_store.save_checkpoint(tx, harness.engine.keyring, (customer_id, "USD"), lots)
    found = {one.id: one for one in await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)}
    assert found["I1"].ok
    assert "is not what its entries say" in found["I16"].detail


async def test_leaving_promotional_credit_out_is_agreed_to(harness):
    _, visitor = await harness.funded(balance=12, threshold="10", amount="25")
    page = await visitor.get("/auto-top-up/USD")
    wanted = {"threshold": "10", "amount": "25", "limit": "100", "paid_only": "yes", "action": "save"}
    refused = await visitor.submit(page, "", wanted)
    assert "Tick the box" in refused.text or "I agree to these terms" in refused.text
    assert not await harness.sql("SELECT 1 FROM rules WHERE NOT promotional_counts")


@pytest.mark.tampers
async def test_a_bonus_that_no_offer_gives_is_named(harness):
    await offer(harness, {"amount_from": "20", "percent": "10"})
    customer_id, _ = await harness.funded(balance=12, threshold="10")
    await harness.use(customer_id, "3", "crossing")
    await harness.sql("UPDATE top_ups SET bonus_units = 250")
    await harness.work()
    found = {one.id: one for one in await operations.verify.run(harness.database_url, LEDGER_KEYS, full=True)}
    assert "is a bonus that no offer gives" in found["I16"].detail
