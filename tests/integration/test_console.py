"""The operators' console: who may do what, and what each act leaves in the audit trail."""

import re

from brimful.auth import permissions
from support.operator import Colleague, audit, colleague

SOFT = "4000000000009995"
ASKS_ALWAYS = "4000002760003184"


CONSOLE = [row for row in permissions.rows_of("console") if "anyone" not in row.who]

# --- every route, every role --------------------------------------------------------------------------------------


def filled(path, values):
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], path)


async def contested(harness):
    """The id of a dispute about the only payment there is."""
    [payment] = await harness.sql("SELECT stripe_intent_id AS id FROM payments")
    dispute = await harness.sandbox.post(f"/sandbox/payment_intents/{payment['id']}/dispute", json={})
    await harness.events_applied()
    return dispute.json()["id"]


async def test_every_route_with_every_role(harness):
    """Anonymous gets to sign in; a viewer sees and may press nothing; a form without its token is refused to all."""
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    [event] = await harness.sql("SELECT event_id FROM outgoing_events WHERE type = 'auto_top_up.triggered'")
    values = {"customer_id": customer_id, "asset": "USD", "top_up_id": top_up["id"], "event_id": event["event_id"],
              "endpoint_id": "whk_none", "dispute_id": await contested(harness)}  # fmt: skip
    nobody = Colleague(harness.url)
    async with colleague(harness, "vera", "viewer") as viewer, colleague(harness, "olga", "operator") as operator:
        for route in CONSOLE:
            path = filled(route.path, values)
            if route.method == "GET":
                assert (await nobody.http.get(path)).status_code == 303, path
                statuses = {(await person.http.get(path)).status_code for person in (viewer, operator)}
                assert statuses == {200}, path
                continue
            if path != "/password":  # one's own
                assert route.who == {"operator"}, f"{path} changes something"
                assert "ask for the role" in await viewer.press(path, expect=403), path
            assert (await nobody.http.post(path, data={"csrf": operator.csrf})).status_code == 401, path
            assert "out of date" in (await operator.http.post(path, data={})).text, path
            wrong = {"csrf": viewer.csrf}
            assert (await operator.http.post(path, data=wrong)).status_code == 403, path
            foreign = await operator.http.post(
                path,
                data={"csrf": operator.csrf},
                headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
            )
            assert foreign.status_code == 403, path
            assert (await operator.http.get(path)).status_code in {404, 405} or path == "/password"
    await nobody.http.aclose()
    acted = await harness.sql(
        "SELECT action FROM audit WHERE actor LIKE 'operator:%%' AND action NOT LIKE 'operator.%%'"
    )
    assert acted == []


async def test_no_page_shows_a_viewer_a_button(harness):
    customer_id, _ = await harness.crossed(number=SOFT)
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    async with colleague(harness, "vera", "viewer") as viewer, colleague(harness, "olga") as operator:
        for path in (
            f"/customers/{customer_id}",
            f"/top-ups/{customer_id}/{top_up['id']}",
            "/charging",
            "/reconciliation",
        ):
            assert re.findall(r'method="post" action="([^"]+)"', await viewer.see(path)) == ["/console/sign-out"], path
            assert len(re.findall(r'method="post"', await operator.see(path))) > 1, path


# --- acts ---------------------------------------------------------------------------------------------------------


async def test_a_retry_comes_sooner_and_is_judged_like_any_other(harness):
    customer_id, _ = await harness.crossed(number=SOFT)
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert top_up["state"] == "retry_wait"
    async with colleague(harness) as person:
        path = f"/top-ups/{customer_id}/{top_up['id']}"
        assert "Try again now" in await person.see(path)
        await person.press(f"{path}/retry")
        await harness.work()
        [after] = await harness.top_ups(customer_id)
        assert (after["state"], after["tries"]) == ("retry_wait", 2)
        [row] = await audit(harness, "top_up.retried")
        assert row["actor"] == "operator:grace"
        assert row["before"]["state"] == "retry_wait"
        await person.press(f"{path}/retry")
        await harness.work()
        [after] = await harness.top_ups(customer_id)
        assert after["state"] == "failed"  # the third decline, and the rule is paused as ever
        assert "only one that waits" in await person.press(f"{path}/retry", expect=422)
    assert len(await audit(harness, "top_up.retried")) == 2
    assert (await harness.rule(customer_id))["paused"] == "declined"


async def test_a_customer_is_asked_again_to_confirm(harness):
    customer_id, _ = await harness.crossed(number=ASKS_ALWAYS, email="ada@example.com")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    assert top_up["state"] == "action_required"
    before = (await harness.events(customer_id)).count("top_up.action_required")
    async with colleague(harness) as person:
        await person.see(f"/top-ups/{customer_id}/{top_up['id']}")
        await person.press(f"/top-ups/{customer_id}/{top_up['id']}/ask")
    assert (await harness.events(customer_id)).count("top_up.action_required") == before + 1
    assert len(await audit(harness, "top_up.asked_again")) == 1


async def test_what_waits_is_taken_back_and_the_account_judged_anew(harness):
    customer_id, _ = await harness.crossed(number=SOFT)
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    async with colleague(harness) as person:
        path = f"/top-ups/{customer_id}/{top_up['id']}"
        await person.see(path)
        await person.press(f"{path}/cancel")
        assert "only a top-up that waits" in await person.press(f"{path}/cancel", expect=422)
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["canceled"]
    assert (await harness.events(customer_id)).count("top_up.failed") == 1
    assert (await harness.rule(customer_id))["reason"] == "not_before"
    await harness.work()
    await harness.pass_time(hours=3)  # the retry would have come in four
    assert [item["state"] for item in await harness.top_ups(customer_id)] == ["canceled"]
    await harness.pass_time(hours=2)
    assert len(await harness.top_ups(customer_id)) == 2
    [row] = await audit(harness, "top_up.canceled")
    assert (row["before"]["state"], row["after"]["state"]) == ("retry_wait", "canceled")


async def test_a_rule_is_paused_until_its_customer_turns_it_on(harness):
    customer_id, visitor = await harness.funded()
    async with colleague(harness) as person:
        await person.see(f"/customers/{customer_id}")
        await person.press(f"/customers/{customer_id}/rules/USD/pause")
        assert "no rule for this asset that is on" in await person.press(
            f"/customers/{customer_id}/rules/USD/pause", expect=404
        )
        assert (await harness.rule(customer_id))["reason"] == "paused"
        await person.press(f"/customers/{customer_id}/rules/USD/look")
    await harness.use(customer_id, "25", "below")
    await harness.work()
    assert await harness.charged() == 0
    page = await visitor.get("/auto-top-up/USD")
    assert "Support has paused it." in page.text
    [row] = await audit(harness, "rule.paused")
    assert (row["before"]["paused"], row["after"]["paused"]) == (None, "operator")
    await visitor.turn_on("USD", threshold="10", amount="25", limit="100")
    await harness.work()
    assert await harness.charged() == 2500


async def test_a_live_one_that_was_looked_at_is_tried_again_at_once(harness):
    customer_id, _ = await harness.crossed()
    [top_up] = await harness.top_ups(customer_id)
    await harness.sql("UPDATE top_ups SET needs_review = true, failures = 5, wake_at = now() + interval '1 hour'")
    async with colleague(harness) as person:
        await person.see("/queue")
        await person.press(f"/top-ups/{customer_id}/{top_up['id']}/resolve", note="the disk was full")
    await harness.work()
    assert await harness.state_is(customer_id, "succeeded")


async def test_somebody_has_looked(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    await harness.sql("UPDATE top_ups SET needs_review = true WHERE top_up_id = %s", (top_up["id"],))
    async with colleague(harness) as person:
        path = f"/top-ups/{customer_id}/{top_up['id']}"
        assert top_up["id"] in await person.see("/queue")
        assert "Say what you found" in await person.press(f"{path}/resolve", expect=422)
        await person.press(f"{path}/resolve", note="paid twice at the bank, told the customer")
        assert "needs no review" in await person.press(f"{path}/resolve", note="again", expect=422)
    [row] = await audit(harness, "top_up.resolved")
    assert (row["before"]["needs_review"], row["after"]["needs_review"]) == (True, False)
    assert row["after"]["note"].startswith("paid twice")


async def test_a_refund_goes_the_way_of_every_refund(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    async with colleague(harness) as person:
        path = f"/top-ups/{customer_id}/{top_up['id']}"
        key = re.search(r'name="key" value="(ref_[0-9a-f]{32})"', await person.see(path))[1]
        assert "amount" in await person.press(f"{path}/refund", amount="x", key=key, expect=422)
        assert "can be given back" in await person.press(f"{path}/refund", amount="26", key=key, expect=422)
        assert "out of date" in await person.press(f"{path}/refund", amount="5", expect=422)
        assert "Type the amount" in await person.press(f"{path}/refund", amount="", key=key, expect=422)
        asked = await person.press(f"{path}/refund", amount="5", key=key, expect=200)
        assert "Give back 5.00 USD" in asked
        assert "Visa ···· 4242" in asked
        assert "goes on" in asked
        pauses = await person.press(f"{path}/refund", amount="25", key=key, expect=200)
        assert "pauses: the balance falls below the threshold" in pauses
        assert await harness.sql("SELECT 1 FROM refunds") == []
        for _ in range(2):  # a double click, or the form sent again
            await person.press(f"{path}/refund", amount="5", key=key, confirmed="500")
        await harness.events_applied()
        assert "5 USD" in await person.see(path)
    assert (await harness.books())["refunded"] == {"USD": 500}
    assert "operator:grace" in [row["actor"] for row in await harness.sql("SELECT actor FROM refunds")]


async def test_charging_is_stopped_and_started(harness):
    async with colleague(harness) as person:
        await person.see("/charging")
        assert "Say why" in await person.press("/charging/stop", expect=422)
        await person.press("/charging/stop", reason="a look at the numbers")
        customer_id, _ = await harness.crossed()
        await harness.work()
        assert await harness.charged() == 0
        for path in ("/", "/customers", f"/customers/{customer_id}", "/audit"):
            seen = await person.see(path)
            assert re.search(r'role="alert"><ul><li>Charging is suspended since [0-9 :-]+ by Operator grace ', seen)
            assert "(operator): a look at the numbers<" in seen
        await person.press("/charging/start", reason="they are right")
        assert "Charging is suspended" not in await person.see("/customers")
        await harness.pass_time(minutes=5)
        assert await harness.charged() == 2500
        assert (await harness.top_ups(customer_id))[0]["state"] == "succeeded"
    assert [row["after"]["reason"] for row in await audit(harness, "charging.resumed")] == ["they are right"]


async def test_an_event_that_was_set_aside_is_applied_again(harness):
    customer_id, _ = await harness.crossed()
    await harness.events_applied()
    [event] = await harness.sql("SELECT event_id FROM stripe_events WHERE type = 'payment_intent.succeeded'")
    await harness.sql("UPDATE stripe_events SET state = 'quarantined' WHERE event_id = %s", (event["event_id"],))
    async with colleague(harness) as person:
        assert event["event_id"] in await person.see("/stripe?state=quarantined")
        await person.press(f"/stripe/{event['event_id']}/again")
        assert "not set aside" in await person.press(f"/stripe/{event['event_id']}/again", expect=404)
    await harness.work()
    [after] = await harness.sql("SELECT state FROM stripe_events WHERE event_id = %s", (event["event_id"],))
    assert after["state"] == "done"
    assert await harness.charged() == 2500


async def test_an_event_that_is_nobodys_is_left(harness):
    await harness.crossed()
    await harness.events_applied()
    [event] = await harness.sql("SELECT event_id FROM stripe_events WHERE type = 'payment_intent.succeeded'")
    await harness.sql("UPDATE stripe_events SET state = 'quarantined' WHERE event_id = %s", (event["event_id"],))
    async with colleague(harness) as person:
        await person.see("/stripe?state=quarantined")
        await person.press(f"/stripe/{event['event_id']}/leave")
        assert "not set aside" in await person.press(f"/stripe/{event['event_id']}/leave", expect=404)
    assert len(await audit(harness, "stripe_event.dismissed")) == 1


async def test_reconciliation_is_asked_for(harness):
    await harness.crossed()
    await harness.work()
    async with colleague(harness) as person:
        assert "never" in await person.see("/reconciliation")
        assert "Would be repaired" in await person.press("/reconciliation/compare", expect=200)
        await harness.switch(call="payment_intents.list", fault="error_before", times=20)
        assert "cannot be read" in await person.press("/reconciliation/compare", expect=503)
    assert len(await audit(harness, "books.compared")) == 2


async def test_webhooks_out_are_seen_sent_again_and_enabled(harness):
    hook = await harness.call("POST", "/webhooks", {"url": "https://hooks.example/x", "topics": ["*"]}, expect=201)
    customer_id, _ = await harness.crossed()
    [event] = await harness.sql("SELECT event_id FROM outgoing_events WHERE type = 'auto_top_up.triggered'")
    await harness.sql("UPDATE webhook_endpoints SET enabled = false, disabled_reason = 'failing'")
    async with colleague(harness) as person:
        assert "failing" in await person.see("/webhooks")
        await person.press(f"/webhooks/{hook['id']}/enable")
        assert customer_id in await person.see(f"/webhooks/events/{event['event_id']}")
        await person.press(f"/webhooks/events/{event['event_id']}/replay")
    assert [row["after"]["enabled"] for row in await audit(harness, "webhook.enabled")] == [True]
    assert [row["after"]["queued"] for row in await audit(harness, "event.replayed")] == [1]


# --- looking ------------------------------------------------------------------------------------------------------


async def test_a_customer_is_found_by_whatever_is_at_hand(harness):
    customer_id, _ = await harness.crossed(name="Ada Lovelace", external_id="ada-1", email="ada@example.com")
    other = await harness.customer("Grace 100%_Hopper")
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    [row] = await harness.sql("SELECT stripe_intent_id FROM payments")
    [stripe] = await harness.sql("SELECT stripe_customer_id FROM customers WHERE customer_id = %s", (customer_id,))
    async with colleague(harness) as person:
        for text in (customer_id, "ada-1", "lovelace", "ADA@example", top_up["id"], row["stripe_intent_id"],
                     stripe["stripe_customer_id"]):  # fmt: skip
            page = (await person.http.get("/customers", params={"q": text})).text
            assert f"/console/customers/{customer_id}" in page, text
            assert other not in page, text
        page = (await person.http.get("/customers", params={"q": row["stripe_intent_id"]})).text
        assert f"/top-ups/{customer_id}/{top_up['id']}" in page
        for text, found in (("100%_h", True), ("%", True), ("_", True), ("100x", False), ("!", False)):
            page = (await person.http.get("/customers", params={"q": text})).text
            assert (other in page) is found, text
            assert (customer_id in page) is False, text


async def test_a_ledger_is_read_page_by_page(harness):
    customer_id = await harness.customer()
    await harness.give(customer_id, 1000)
    events = [{"id": f"use-{n}", "customer_id": customer_id, "asset": "USD", "amount": "1"} for n in range(150)]
    await harness.call("POST", "/usage", {"events": events}, expect=200)
    async with colleague(harness) as person:
        first = await person.see(f"/customers/{customer_id}/ledger/USD")
        assert "use-149" in first
        assert "use-10<" not in first
        older = re.search(r'href="/console(/customers/[^"]+before=\d+)"', first)[1]
        second = await person.see(older)
        assert "use-10<" in second
        assert "gift-USD-1000" in second
        await person.see(f"/customers/{customer_id}/ledger/USD?before=x", expect=422)
        await person.see(f"/customers/{customer_id}/ledger/NONE", expect=200)
        await person.see("/customers/cus_none", expect=404)


async def test_top_ups_are_listed_by_state_and_reason(harness):
    paid, _ = await harness.crossed(name="Paid")
    await harness.work()
    waits, _ = await harness.crossed(name="Waits", number=SOFT)
    await harness.work()
    async with colleague(harness) as person:
        everything = await person.see("/top-ups")
        assert paid in everything
        assert waits in everything
        assert paid not in await person.see("/top-ups?state=retry_wait")
        assert waits in await person.see("/top-ups?reason=insufficient_funds")
        assert waits in await person.see("/queue")
        trail = await person.see("/audit?action=operator.signed_in")
        assert "Operator grace" in trail
        assert "card.added" not in trail


async def test_what_customers_and_platforms_write_is_text_on_every_page(harness):
    nasty = '"><script>alert(1)</script>'
    customer_id = await harness.customer(nasty, external_id=nasty[:20])
    await harness.give(customer_id, 5, key="<b>key</b>")
    async with colleague(harness) as person:
        for path in (f"/customers/{customer_id}", f"/customers/{customer_id}/ledger/USD", "/customers"):
            page = await person.see(path)
            assert "<script>alert" not in page
            assert "<b>key" not in page
        policy = (await person.http.get("/")).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy


ODD = ["%00", "a%00b", "%F0%9F%92%A9", "..%2f..", "x" * 700, "%27%3B--", "-1", "%0A"]


async def test_no_odd_address_or_form_is_our_fault(harness):
    """Whatever stands where an id or a choice should: a page, a refusal or nothing, and never a 5xx."""
    nobody = Colleague(harness.url)
    async with colleague(harness) as person:
        for odd in ODD:
            values = dict.fromkeys(("customer_id", "asset", "top_up_id", "event_id", "endpoint_id", "dispute_id"), odd)
            for route in CONSOLE:
                path = filled(route.path, values)
                if route.method == "GET":
                    answer = await person.http.get(f"{path}?q={odd}&state={odd}&reason={odd}&before={odd}&actor={odd}")
                elif "compare" in path:
                    continue
                else:
                    form = {"csrf": person.csrf, "reason": "x", "note": "x", "amount": "1"}
                    answer = await person.http.post(path, data=form)
                assert answer.status_code < 500, (route, odd, answer.status_code)
        visitor = await harness.visitor(await harness.customer())
        assert (await visitor.client.get(f"{harness.url}/billing/top-ups/%00")).status_code == 404
        for charset in ("unicode_escape", "punycode", "undefined"):
            body = '--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\r\n--b--\r\n'
            kind = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
            assert (await nobody.http.post("/sign-in", content=body, headers=kind)).status_code == 422
    await nobody.http.aclose()


async def test_older_pages_keep_what_was_asked_for(harness):
    await harness.sql(
        "INSERT INTO audit SELECT 'evt_' || n, now(), 'operator:a+b@e.com&x', 'test', NULL, NULL, NULL "
        "FROM generate_series(1000, 1150) AS n"
    )
    async with colleague(harness) as person:
        page = (await person.http.get("/audit", params={"actor": "operator:a+b@e.com&x"})).text
        older = re.search(r'href="(/console/audit[^"]+)"', page)[1].replace("&amp;", "&")
        assert (await person.http.get(f"{harness.url}{older}")).text.count(">test</td>") == 51


async def test_a_disputed_payment_is_marked(harness):
    customer_id, _ = await harness.crossed()
    await harness.work()
    [top_up] = await harness.top_ups(customer_id)
    [row] = await harness.sql("SELECT stripe_intent_id AS intent FROM payments")
    path = f"/top-ups/{customer_id}/{top_up['id']}"
    async with colleague(harness, "vera", "viewer") as person:
        assert "Disputed" not in (await person.http.get(path)).text
        how = {"amount": 1000, "prefix": "du"}
        dispute = (await harness.sandbox.post(f"/sandbox/payment_intents/{row['intent']}/dispute", json=how)).json()
        await harness.events_applied()
        shown = (await person.http.get(path)).text
    assert "Disputed" in shown
    assert dispute["id"] in shown
    assert "10 USD" in shown
