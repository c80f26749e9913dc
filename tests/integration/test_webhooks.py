"""Webhooks out: what happens is told, signed, tried again, and never sent where it must not go."""

import asyncio
import base64
import contextlib
import datetime as dt
import json

import psycopg
import pytest
import standardwebhooks

from brimful.db.pool import Database
from brimful.notifications import webhooks
from brimful.notifications.events import Topic
from brimful.notifications.webhooks.delivery import WAITS_S
from support.receiver import deliveries, low, receiving, subscribe


@pytest.mark.flow
async def test_a_top_up_is_told_at_each_step_and_the_library_verifies_it(harness, receiver):
    made = await subscribe(harness, receiver.url)
    customer_id, _ = await harness.crossed()
    await harness.work()
    await harness.events_applied()
    told = receiver.events(made["secret"])
    assert sorted(event.type for event in told) == sorted(await harness.events(customer_id))
    assert {"auto_top_up.enabled", "auto_top_up.triggered", "top_up.succeeded", "card.added"} <= {e.type for e in told}
    assert all(event.data["customer_id"] == customer_id for event in told)
    [paid] = [event for event in told if event.type == "top_up.succeeded"]
    assert paid.data == await harness.call("GET", f"/top-ups/{paid.data['id']}")
    headers, body = receiver.requests[0]
    assert standardwebhooks.Webhook(made["secret"]).verify(body, headers)["type"] == told[0].type
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(made["secret"]).verify(body.replace(b"type", b"tYpe"), headers)


async def test_a_receiver_that_is_down_gets_it_on_the_specs_schedule_and_then_no_more(harness, receiver):
    """F41: ten attempts within 76 hours, then it is failed, and can be replayed."""
    made = await subscribe(harness, receiver.url, "balance.low")
    receiver.status = 500
    await low(harness)
    await harness.work()
    for attempt, wait_s in enumerate(WAITS_S, start=1):
        [delivery] = await deliveries(harness)
        assert (delivery["attempts"], delivery["state"]) == (attempt, "pending")
        harness.clock.offset += dt.timedelta(seconds=wait_s * 0.85)
        await harness.work()
        assert len(receiver.requests) == attempt  # not yet
        harness.clock.offset += dt.timedelta(seconds=wait_s * 0.3)
        await harness.work()
    [delivery] = await deliveries(harness, status="Failed")
    assert (delivery["attempts"], delivery["state"], len(receiver.requests)) == (10, "failed", 10)
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    stamps = [int(headers["webhook-timestamp"]) for headers, _ in receiver.requests]
    assert stamps == sorted(set(stamps))
    log = await harness.call("GET", f"/webhooks/events/{delivery['id']}", expect=200)
    assert [(item["attempt"], item["status"]) for item in log["attempts"]] == [(n, 500) for n in range(1, 11)]
    receiver.status = 200
    assert (await harness.call("POST", f"/webhooks/events/{delivery['id']}/replay", expect=202)) == {"queued": 1}
    await harness.work()
    [delivery] = await deliveries(harness, status="Success")
    assert delivery["successful_at"] is not None
    assert (await harness.call("GET", f"/webhooks/{made['id']}"))["failing_since"] is None


async def test_after_days_of_failure_it_is_disabled_and_told_and_what_it_missed_is_replayed(harness, receiver):
    """F41."""
    made = await subscribe(harness, receiver.url)
    begun = harness.clock.offset
    async with receiving() as watcher:
        other = await subscribe(harness, watcher.url, "webhook.disabled")
        receiver.status = 503
        for day in range(6):
            harness.clock.offset = begun + dt.timedelta(days=day, minutes=1)
            await low(harness, f"Customer {day}")
            await harness.work()
        shown = await harness.call("GET", f"/webhooks/{made['id']}", expect=200)
        assert (shown["enabled"], shown["disabled_reason"]) == (False, "failing")
        await harness.work()
        [event] = watcher.requests
        assert json.loads(event[1])["data"] == {"webhook_id": made["id"], "url": receiver.url, "reason": "failing"}
    tried = len(receiver.requests)
    await low(harness, "Late")
    await harness.work()
    assert len(receiver.requests) == tried
    refused = await harness.call(
        "POST", f"/webhooks/{made['id']}/replay", {"since": "2026-01-01T00:00:00Z"}, expect=422
    )
    assert "enable it first" in refused["detail"]
    await harness.call("PATCH", f"/webhooks/{made['id']}", {"enabled": True}, expect=200)
    receiver.status = 200
    queued = await harness.call("POST", f"/webhooks/{made['id']}/replay", {"since": "2026-01-01T00:00:00Z"}, expect=202)
    await harness.work()
    told = {event["id"] for event in await deliveries(harness, destination_id=made["id"], status="Success")}
    every = await harness.sql("SELECT event_id FROM outgoing_events")
    assert told == {row["event_id"] for row in every}
    assert queued["queued"] == len(every)
    await harness.call("DELETE", f"/webhooks/{other['id']}", expect=204)


async def test_gone_disables_at_once_and_retry_after_is_kept_to(harness, receiver):
    made = await subscribe(harness, receiver.url)
    receiver.answers, receiver.headers = [503], {"Retry-After": "600"}
    await low(harness)
    await harness.work()
    [delivery] = await deliveries(harness)
    next_at = dt.datetime.fromisoformat(delivery["next_at"]) - dt.datetime.fromisoformat(delivery["failed_at"])
    assert dt.timedelta(seconds=595) < next_at <= dt.timedelta(seconds=601)
    receiver.answers = [410]
    harness.clock.offset += dt.timedelta(seconds=601)
    await harness.work()
    shown = await harness.call("GET", f"/webhooks/{made['id']}", expect=200)
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "gone")


async def test_a_redirect_is_a_failure_and_is_not_followed(harness, receiver):
    await subscribe(harness, receiver.url)
    receiver.answers, receiver.headers = [302], {"Location": receiver.url}
    await low(harness)
    await harness.work()
    [delivery] = await deliveries(harness, status="Failed")
    assert len(receiver.requests) == 1
    assert delivery["failed_at"] is not None


async def test_a_secret_is_rotated_without_a_gap(harness, receiver):
    made = await subscribe(harness, receiver.url)
    rotated = await harness.call("POST", f"/webhooks/{made['id']}/rotate", expect=200)
    assert rotated["secret"] != made["secret"]
    await low(harness)
    await harness.work()
    for secret in (made["secret"], rotated["secret"]):
        assert [event.type for event in receiver.events(secret)] == ["balance.low"]
    harness.clock.offset += dt.timedelta(hours=25)
    receiver.requests.clear()
    await low(harness, "Eve")
    await harness.work()
    headers, _ = receiver.requests[0]
    assert len(headers["webhook-signature"].split(" ")) == 1


async def test_a_delivery_whose_worker_died_is_taken_again(harness, receiver):
    await subscribe(harness, receiver.url)
    await low(harness)
    courier = webhooks.delivery.DeliveryWorker(harness.engine.database, loopback=True)
    receiver.delay_s = 2
    assert await courier._start_due() == 1
    await asyncio.sleep(0.2)
    for task in courier._tasks:
        task.cancel()  # killed in the middle of the request
    receiver.delay_s = 0
    await harness.work()
    assert len(receiver.requests) == 1
    harness.clock.offset += dt.timedelta(minutes=1, seconds=1)
    await harness.work()
    [delivery] = await deliveries(harness)
    assert (delivery["state"], delivery["attempts"], len(receiver.requests)) == ("succeeded", 2, 2)
    await courier.aclose()


async def test_a_slow_receiver_does_not_keep_the_others_waiting(harness, receiver):
    async with receiving() as slow:
        slow.delay_s = 1.5
        await subscribe(harness, slow.url)
        await subscribe(harness, receiver.url)
        for number in range(20):
            await low(harness, f"C{number}")
        courier = webhooks.delivery.DeliveryWorker(harness.engine.database, loopback=True)
        task = asyncio.create_task(courier.run())
        await harness.until(lambda: _is(lambda: len(receiver.requests) == 20), seconds=5)
        assert len(slow.requests) <= 16
        courier.stop()
        await task


async def _is(condition):
    return condition()


# --- endpoints and their log --------------------------------------------------------------------------------------


async def test_topics_choose_and_unknown_ones_are_refused(harness, receiver):
    made = await subscribe(harness, receiver.url, "balance.depleted")
    await low(harness)
    await harness.work()
    assert receiver.requests == []
    for wrong in (["nothing.happened"], [], ["balance.low", "x"]):
        await harness.call("PATCH", f"/webhooks/{made['id']}", {"topics": wrong}, expect=422)
    await harness.call("PATCH", f"/webhooks/{made['id']}", {"topics": ["*", "balance.low"]}, expect=200)
    [shown] = (await harness.call("GET", "/webhooks"))["items"]
    assert (shown["topics"], "secret" in shown) == (["*"], False)
    for path in ("whk_none", "whk_none/rotate", "events/evt_none"):
        method = "POST" if path.endswith("rotate") else "GET"
        await harness.call(method, f"/webhooks/{path}", expect=404)


async def test_every_topic_can_be_tried_out(harness, receiver):
    made = await subscribe(harness, receiver.url)
    for topic in Topic:
        await harness.call("POST", f"/webhooks/{made['id']}/test/{topic.value}", {"some": "data"}, expect=202)
    await harness.call("POST", "/webhooks/test/balance.low", {}, expect=202)
    await harness.call("POST", f"/webhooks/{made['id']}/test/nothing", {}, expect=422)
    await harness.work()
    told = receiver.events(made["secret"])
    assert sorted(event.type for event in told) == sorted([*Topic, "balance.low"])
    assert all(event.test for event in told)


async def test_the_log_is_paged_both_ways_and_narrowed(harness, receiver):
    made = await subscribe(harness, receiver.url)
    for number in range(7):
        await low(harness, f"C{number}")
    await harness.work()
    first = await harness.call("GET", "/webhooks/events", params={"limit": "3"}, expect=200)
    second = await harness.call(
        "GET", "/webhooks/events", params={"limit": "3", "next": first["pagination"]["next"]}, expect=200
    )
    third = await harness.call(
        "GET", "/webhooks/events", params={"limit": "3", "next": second["pagination"]["next"]}, expect=200
    )
    ids = [item["id"] for page in (first, second, third) for item in page["models"]]
    assert ids == sorted(set(ids), reverse=True)
    assert len(ids) == 7
    assert (first["pagination"]["prev"], third["pagination"]["next"]) == (None, None)
    back = await harness.call(
        "GET", "/webhooks/events", params={"limit": "3", "prev": third["pagination"]["prev"]}, expect=200
    )
    assert back["models"] == second["models"]
    assert await deliveries(harness, status="Failed") == []
    assert await deliveries(harness, destination_id="whk_other") == []
    assert len(await deliveries(harness, destination_id=f"whk_other,{made['id']}")) == 7
    assert await deliveries(harness, time_lte="2020-01-01T00:00:00Z") == []
    await harness.call("GET", "/webhooks/events", params={"time_lte": "2020-01-01T00:00:00"}, expect=422)
    await harness.call("GET", "/webhooks/events", params={"next": "x", "prev": "y"}, expect=422)


async def test_a_key_needs_the_scope(harness):
    await harness.sql("UPDATE api_keys SET scopes = array_remove(scopes, 'webhooks')")
    await harness.call("GET", "/webhooks", expect=403)


async def test_a_huge_answer_is_not_read(harness):
    written = 0

    async def endless(reader, writer):
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while written < 1_000_000_000:
                writer.write(b"x" * 65_536)
                written += 65_536
                await writer.drain()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await subscribe(harness, f"http://127.0.0.1:{port}/")
    await low(harness)
    await harness.work()
    server.close()
    [delivery] = await deliveries(harness)
    assert delivery["state"] == "succeeded"
    assert written < 50_000_000


def test_secrets_are_long_enough():
    """Standard Webhooks: 24 to 64 bytes."""
    from brimful.notifications import webhooks

    assert 24 <= len(base64.b64decode(webhooks.endpoints._secret().removeprefix("whsec_"))) <= 64


async def test_an_endpoint_that_is_deleted_meanwhile_breaks_no_movement(harness, receiver):
    """An event must neither wait for a webhook nor fail with it."""
    made = await subscribe(harness, receiver.url)
    customer_id = await harness.customer()
    await harness.give(customer_id, 10)
    await harness.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "5"}, expect=200)
    async with await psycopg.AsyncConnection.connect(harness.database_url) as deleting:
        await deleting.execute("DELETE FROM webhook_endpoints WHERE endpoint_id = %s", (made["id"],))
        used = await asyncio.wait_for(harness.use(customer_id, "6", "crossing"), 5)
        assert used["status"] == "applied"
        await deleting.commit()
    await harness.work()
    assert receiver.requests == []


async def test_what_was_missed_is_found_behind_what_was_not_wanted(harness, receiver):
    made = await subscribe(harness, receiver.url, "balance.low")
    receiver.status = 410
    await low(harness)
    await harness.work()
    await harness.sql(
        "INSERT INTO outgoing_events SELECT 'evt_0' || g, NULL, 'card.added', '{}', now() "
        "FROM generate_series(1, 10001) AS g"
    )
    receiver.status = 200
    await harness.call("PATCH", f"/webhooks/{made['id']}", {"enabled": True}, expect=200)
    body = {"since": "2026-01-01T00:00:00Z"}
    assert (await harness.call("POST", f"/webhooks/{made['id']}/replay", body, expect=202))["queued"] == 1
    await harness.sql("DELETE FROM outgoing_events WHERE type = 'card.added'")


async def test_a_database_in_another_zone_signs_the_same(harness, receiver):
    await harness.sql(
        f"ALTER DATABASE {harness.database_url.split('dbname=')[1].split()[0]} SET timezone = 'Europe/Berlin'"
    )
    made = await subscribe(harness, receiver.url)
    await low(harness)
    fresh = Database(harness.database_url, "brimful_engine", pool_max=1)
    await fresh.open()
    courier = webhooks.delivery.DeliveryWorker(fresh, loopback=True)
    await courier.deliver_due()
    await courier.aclose()
    await fresh.close()
    assert [event.type for event in receiver.events(made["secret"])] == ["balance.low"]


async def test_a_test_event_carries_numbers_as_they_are_and_is_for_one_endpoint_alone(harness, receiver):
    made = await subscribe(harness, receiver.url)
    async with receiving() as other:
        second = await subscribe(harness, other.url)
        body = {"amount_minor": 2500, "share": 0.5}
        await harness.call("POST", f"/webhooks/{made['id']}/test/refund.recorded", body, expect=202)
        missed = {"since": "2026-01-01T00:00:00Z"}
        assert (await harness.call("POST", f"/webhooks/{second['id']}/replay", missed, expect=202)) == {"queued": 0}
        await harness.work()
        assert [event.data for event in receiver.events(made["secret"])] == [body]
        assert other.requests == []
    for wrong in (b"[]", b"1", b"{"):
        answer = await harness.api.post(f"/v1/webhooks/{made['id']}/test/balance.low", content=wrong)
        assert answer.status_code in {400, 422}


async def test_one_failure_after_quiet_weeks_disables_nothing(harness, receiver):
    made = await subscribe(harness, receiver.url)
    receiver.status = 500
    await low(harness)
    await harness.work()
    harness.clock.offset += dt.timedelta(days=40)
    await harness.sql("UPDATE deliveries SET state = 'failed', next_at = NULL, ended_at = now()")
    await low(harness, "Eve")
    await harness.work()
    shown = await harness.call("GET", f"/webhooks/{made['id']}", expect=200)
    assert (shown["enabled"], shown["failing_since"] is None) == (True, False)
    shown = await harness.call("PATCH", f"/webhooks/{made['id']}", {"url": receiver.url + "?new"}, expect=200)
    assert shown["failing_since"] is None
