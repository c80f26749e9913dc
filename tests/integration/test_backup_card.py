"""A second card, charged in the same top-up where the first is declined."""

import pytest

from brimful import auto_top_up

DECLINES, LOST, ASKS, GOOD, HICCUP = (
    "4000000000000341", "4000000000009987", "4000002760003184", "5555555555554444", "4000000000000119",
)  # fmt: skip


async def turned_on(harness, first, second=GOOD, **more):
    customer_id = await harness.customer()
    await harness.give(customer_id, 12)
    visitor = await harness.visitor(customer_id)
    await harness.add_card(visitor, first)
    await harness.add_card(visitor, second)
    page = await harness.call("GET", f"/customers/{customer_id}/cards", expect=200)
    by_last4 = {card["last4"]: card["id"] for card in page["items"]}
    cards = [by_last4[number[-4:]] for number in (first, second)]
    values = {"threshold": "10", "amount": "25", "limit": "400", "card": cards[0], "backup": cards[1], **more}
    await visitor.turn_on("USD", **values)
    return customer_id, visitor, cards


async def payments(harness, customer_id):
    rows = await harness.sql(
        "SELECT card_id, state, presence, decline_code FROM payments WHERE customer_id = %s ORDER BY payment_id",
        (customer_id,),
    )
    return [(row["card_id"], row["state"]) for row in rows]


@pytest.mark.flow
async def test_it_pays_at_once_where_the_first_is_declined(harness):
    customer_id, visitor, (first, backup) = await turned_on(harness, DECLINES)
    consent = (await visitor.get("/auto-top-up/USD")).text
    assert "to charge Visa ···· 0341, or Mastercard ···· 4444 where that is declined, $25.00" in consent
    assert (await harness.rule(customer_id))["backup_card_id"] == backup
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await payments(harness, customer_id) == [(first, "canceled"), (backup, "succeeded")]
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["tries"]) == ("succeeded", 1)
    assert await harness.charged() == 2500
    [event] = await harness.sql(
        "SELECT payload -> 'data' AS data FROM outgoing_events WHERE type = 'auto_top_up.backup_used'"
    )
    assert (event["data"]["card_id"], event["data"]["instead_of"]) == (backup, first)
    await harness.use(customer_id, "25", "again")  # the first one is tried first again
    await harness.work()
    assert [card for card, _ in await payments(harness, customer_id)] == [first, backup] * 2


@pytest.mark.flow
async def test_a_first_card_that_is_gone_leaves_the_backup_alone(harness):
    customer_id, visitor, (first, backup) = await turned_on(harness, "4000000000000069")  # its data is old
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await payments(harness, customer_id) == [(first, "canceled"), (backup, "succeeded")]
    rule = await harness.rule(customer_id)
    assert (rule["paused"], rule["reason"]) == (None, "armed")
    await harness.use(customer_id, "25", "again")
    await harness.work()
    assert [card for card, _ in await payments(harness, customer_id)] == [first, backup, backup]
    assert "Backup card for: US dollars" in (await visitor.get("/cards")).text
    page = await visitor.get(f"/cards/{backup}/remove")
    assert "It is the backup card for: US dollars." in page.text
    await visitor.submit(page, f"/billing/cards/{backup}/remove", {})
    assert (await harness.rule(customer_id))["paused"] == "card_removed"


@pytest.mark.flow
async def test_never_after_a_lost_card(harness):
    customer_id, _, (first, _) = await turned_on(harness, LOST)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await payments(harness, customer_id) == [(first, "canceled")]
    assert (await harness.rule(customer_id))["paused"] == "card_declined"
    assert await harness.charged() == 0


async def test_other_rules_with_that_card_pause_too_where_it_was_lost(harness):
    customer_id, visitor, (first, backup) = await turned_on(harness, LOST)
    rates = [{"source": "USD", "rate": "0.10"}]
    await harness.call("POST", "/assets", {"code": "CREDIT", "name": "Credits", "rates": rates}, expect=201)
    await harness.give(customer_id, 60, "CREDIT")
    await visitor.turn_on("CREDIT", threshold="50", amount="10", limit="100", card=first, backup=backup)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert (await harness.rule(customer_id, "CREDIT"))["paused"] == "card_declined"


@pytest.mark.flow
async def test_a_bank_that_asks_is_asked_only_when_the_backup_fails(harness):
    customer_id, visitor, (first, backup) = await turned_on(harness, ASKS, DECLINES)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await payments(harness, customer_id) == [(first, "canceled"), (backup, "canceled")]
    [top_up] = await harness.top_ups(customer_id)
    assert (top_up["state"], top_up["reason"]) == ("action_required", "authentication_required")
    page = await visitor.get(f"/confirm/{top_up['id']}")
    assert "Visa ···· 3184" in page.text


async def test_both_declined_are_tried_again_as_often_as_one(harness):
    customer_id, _, (first, backup) = await turned_on(harness, DECLINES, "4000000000009995")
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    await harness.pass_time(hours=4, minutes=1)
    await harness.pass_time(hours=12, minutes=1)
    await harness.pass_time(hours=48)
    assert [card for card, _ in await payments(harness, customer_id)] == [first, backup] * 3
    assert (await harness.rule(customer_id))["paused"] == "declined"


async def test_a_first_card_that_was_declined_too_often_is_left_out(harness):
    """F17: the backup is tried as often as a card alone would be, and no more."""
    customer_id, _, (_, backup) = await turned_on(harness, GOOD, DECLINES)
    await harness.sql(
        "INSERT INTO card_tries (payment_id, fingerprint, state, at) SELECT 'pay_' || n, c.fingerprint, 'declined', "
        "now() FROM cards AS c, generate_series(1, 8) AS n WHERE c.last4 = '4444'"
    )
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    for hours in (4, 12, 48, 48):
        await harness.pass_time(hours=hours, minutes=1)
    tried = [card for card, _ in await payments(harness, customer_id)]
    assert tried.count(backup) == 3
    assert (await harness.rule(customer_id))["paused"] == "declined"
    assert await harness.charged() == 0


async def test_a_hiccup_waits_for_the_same_card(harness):
    customer_id, _, (first, _) = await turned_on(harness, HICCUP)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    assert await payments(harness, customer_id) == [(first, "canceled")]
    [event] = await harness.sql(
        "SELECT payload -> 'data' AS data FROM outgoing_events WHERE type = 'auto_top_up.retry_scheduled'"
    )
    assert event["data"]["reason"] == "processing_error"
    assert event["data"]["runs_dry_before_retry"] is False


@pytest.mark.parametrize("what", ["same", "unknown"])
async def test_a_backup_that_cannot_be_one_is_refused(harness, what):
    customer_id, visitor, (first, _) = await turned_on(harness, GOOD, "4242424242424242")
    before = await harness.rule(customer_id)
    chosen = {"same": first, "unknown": "card_" + 32 * "0"}[what]
    page = await visitor.get("/auto-top-up/USD")
    refused = await visitor.submit(page, "", {"agreed": "yes", "action": "save", "backup": chosen})
    assert refused.status_code == 422
    assert 'id="backup-error"' in refused.text
    assert await harness.rule(customer_id) == before


async def test_the_same_plastic_twice_is_no_backup(harness):
    customer_id, visitor, (first, backup) = await turned_on(harness, GOOD, "4242424242424242")
    await harness.sql("UPDATE cards SET fingerprint = 'one'")
    before = await harness.rule(customer_id)
    page = await visitor.get("/auto-top-up/USD")
    refused = await visitor.submit(page, "", {"agreed": "yes", "action": "save", "limit": "300"})
    assert refused.status_code == 422
    assert await harness.rule(customer_id) == before


async def test_a_backup_needs_consent_and_leaving_it_out_none(harness):
    customer_id, visitor, (_, backup) = await turned_on(harness, GOOD, "4242424242424242")
    await visitor.submit(await visitor.get("/auto-top-up/USD"), "", {"action": "save", "backup": ""})
    assert (await harness.rule(customer_id))["backup_card_id"] is None
    answer = await visitor.submit(await visitor.get("/auto-top-up/USD"), "", {"action": "save", "backup": backup})
    assert "Please read what you agree to, and tick the box." in answer.text
    assert (await harness.rule(customer_id))["backup_card_id"] is None


@pytest.mark.parametrize("reason", ["disputed", "fraud_warning", "stolen_card"])
async def test_plastic_that_is_doubted_elsewhere_pauses_the_rule_with_its_backup(harness, reason):
    customer_id, _, (first, _) = await turned_on(harness, GOOD, "4242424242424242")
    async with harness.engine.database.transaction() as tx:
        await auto_top_up.pauses.block_card(tx, customer_id, first, reason, harness.engine.pace)
    assert (await harness.rule(customer_id))["paused"] == "card_declined"


async def test_a_card_of_another_brand_is_charged_by_nobody_although_there_is_a_backup(harness):
    customer_id, _, (first, _) = await turned_on(harness, GOOD, "4242424242424242")
    [card] = await harness.sql("SELECT stripe_payment_method_id AS id FROM cards WHERE card_id = %s", (first,))
    await harness.sandbox.post(f"/sandbox/payment_methods/{card['id']}/renew", json={"brand": "visa"})
    await harness.events_applied()
    assert (await harness.rule(customer_id))["paused"] == "card_changed"


async def test_a_card_that_is_lost_while_its_charge_waits_is_replaced_by_the_backup(harness):
    customer_id, visitor, (first, backup) = await turned_on(
        harness, GOOD, "4242424242424242", most="100", ask_above="50"
    )
    await harness.use(customer_id, "70", "a-big-one")
    await harness.work()
    async with harness.engine.database.transaction() as tx:
        await auto_top_up.pauses.block_card(tx, customer_id, first, "expired_card", harness.engine.pace)
    await harness.work()
    newest, ended = await harness.top_ups(customer_id)
    assert (ended["state"], ended["reason"]) == ("canceled", "card_unavailable")
    page = await visitor.get(f"/confirm/{newest['id']}")
    assert "Visa ···· 4242" in page.text
    assert "added." in (await visitor.submit(page, "", {})).text


async def test_a_card_that_is_declined_as_it_is_approved_gives_way_to_the_backup(harness):
    customer_id, visitor, (first, backup) = await turned_on(
        harness, "4000000000000069", "4242424242424242", most="100", ask_above="50"
    )
    await harness.use(customer_id, "70", "a-big-one")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    await visitor.submit(await visitor.get(f"/confirm/{top_up['id']}"), "", {})
    await harness.work()
    assert (await harness.rule(customer_id))["paused"] is None
    page = await visitor.get(f"/confirm/{top_up['id']}")
    assert "Visa ···· 4242" in page.text
    assert "added." in (await visitor.submit(page, "", {})).text
    assert await payments(harness, customer_id) == [(first, "canceled"), (backup, "succeeded")]


async def test_a_card_that_its_bank_lets_nobody_charge_alone_asks_once_the_backup_has_failed(harness):
    """F16: issued in India, without a mandate."""
    customer_id, _, (first, backup) = await turned_on(harness, "4000003560000008", DECLINES)
    await harness.use(customer_id, "3", "crossing")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert [card for card, _ in await payments(harness, customer_id)] == [first, backup]
    assert (top_up["state"], top_up["reason"]) == ("action_required", "authentication_required")
