"""Deliver webhooks: take what is due from our own rows, send it, and record the outcome.

The rows are the queue: a delivery carries when it is to be tried next. The worker that takes one moves that time past
the longest that an attempt may last, so that one whose worker dies is taken again by another. Somebody else's server
may take its time, so deliveries have slots of their own, and no endpoint gets all of them.
"""

import asyncio
import collections
import dataclasses
import datetime as dt
import functools
import json
import logging
import secrets
import ssl
import time
from typing import Any, NamedTuple

import httpx
import standardwebhooks

from brimful import observability
from brimful.db.pool import Database, Row, Tx
from brimful.notifications import events
from brimful.notifications.events import Topic
from brimful.notifications.webhooks import ssrf

_log = logging.getLogger(__name__)
# Between the attempts, ten in all within 76 hours. Source: Standard Webhooks, "Example retry schedule".
WAITS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
_JITTER = 0.1
_DISABLE_AFTER = dt.timedelta(days=5)  # of failures without one success
_DISABLE_ATTEMPTS = 5  # of one event, two and a half hours: one failure after quiet weeks is not enough
_TIMEOUT_S = 20  # Standard Webhooks: 15 to 30
_LEASE = dt.timedelta(seconds=_TIMEOUT_S + 40)
_SLOTS = 32
_SLOTS_PER_ENDPOINT = 8
_POLL_S = 0.25
_ANSWER_BYTES_MAX = 4096  # read for the log; no more is read
_RETRY_AFTER_MAX_S = 86_400
_GONE = 410


class Outcome(NamedTuple):
    """How an attempt ended: a status, or why there is none."""

    status: int | None
    error: str | None
    took_ms: int
    retry_after_s: int | None = None

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


_TAKE = """
    UPDATE deliveries AS d SET attempts = d.attempts + 1, next_at = %(lease)s
    FROM (
        SELECT event_id, endpoint_id FROM deliveries
        WHERE state = 'pending' AND next_at <= %(now)s AND endpoint_id <> ALL(%(busy)s::text[])
            AND EXISTS (SELECT FROM webhook_endpoints AS known WHERE known.endpoint_id = deliveries.endpoint_id)
        ORDER BY next_at LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS due, webhook_endpoints AS e, outgoing_events AS o
    WHERE d.event_id = due.event_id AND d.endpoint_id = due.endpoint_id AND e.endpoint_id = d.endpoint_id
        AND o.event_id = d.event_id
    RETURNING d.event_id, d.endpoint_id, d.attempts, e.url, e.enabled, e.secret, o.payload,
        CASE WHEN e.old_secret_until > %(now)s THEN e.old_secret END AS old_secret
"""


@functools.cache
def _authorities() -> ssl.SSLContext:
    """The certificate authorities of the world: loaded once, it takes 15 ms."""
    return httpx.create_ssl_context(trust_env=False)


_DISABLED = Outcome(None, "the webhook is disabled", 0)


@dataclasses.dataclass
class DeliveryWorker:
    """One per worker. `loopback` lets this machine be called: in sandbox mode only."""

    database: Database
    loopback: bool
    resolver: ssrf.Resolver = ssrf.system_resolver
    transport: httpx.AsyncBaseTransport | None = None

    def __post_init__(self) -> None:
        self._busy: collections.Counter[str] = collections.Counter()
        self._failing: set[str] = set()  # by their latest attempt here: they get one slot each
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            verify=_authorities(),
            transport=self.transport,
            # Connections go to addresses: one that is reused would serve another name without checking its certificate.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def run(self) -> None:
        """Deliver until `stop`; then finish what is on its way."""
        while not self._stopping.is_set():
            try:
                taken = await self._start_due()
            except Exception:  # noqa: BLE001 - a database that is away comes back
                _log.exception("webhooks wait")
                taken = 0
            if not taken:
                await self._pause()
        await asyncio.gather(*self._tasks)

    def stop(self) -> None:
        self._stopping.set()

    async def deliver_due(self) -> int:
        """Attempt all that is due now, and wait for it. Returns how many attempts were made."""
        count = 0
        while taken := await self._start_due():
            count += taken
            await asyncio.gather(*self._tasks)
        return count

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), _POLL_S)
        except TimeoutError:
            return

    async def _start_due(self) -> int:
        free = _SLOTS - len(self._tasks)
        if free <= 0:
            return 0
        busy = [
            endpoint
            for endpoint, count in self._busy.items()
            if count >= (1 if endpoint in self._failing else _SLOTS_PER_ENDPOINT)
        ]
        async with self.database.transaction() as tx:
            now = await tx.now()
            values = {"now": now, "lease": now + _LEASE, "busy": busy, "limit": min(free, _SLOTS_PER_ENDPOINT)}
            rows = await tx.all(_TAKE, values)
        for row in rows:
            task = asyncio.create_task(self._deliver(row, now))
            self._busy[row["endpoint_id"]] += 1
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return len(rows)

    async def _deliver(self, row: Row, now: dt.datetime) -> None:
        try:
            data = row["payload"]["data"]
            about = data.get("top_up_id", data.get("id"))  # a top-up, or what happened to one
            with observability.tracing.span(
                f"deliver {row['payload']['type']}", about if isinstance(about, str) else None
            ):
                outcome = await self._attempt(row, now) if row["enabled"] else _DISABLED
            (self._failing.discard if outcome.ok else self._failing.add)(row["endpoint_id"])
            async with self.database.transaction() as tx:
                await _note(tx, row, outcome)
            observability.metrics.DELIVERIES.labels("delivered" if outcome.ok else "failed").inc()
        except Exception:  # noqa: BLE001 - the lease runs out, and it is tried again
            _log.exception("event %s to %s could not be noted", row["event_id"], row["endpoint_id"])
        finally:
            self._busy[row["endpoint_id"]] -= 1

    async def _attempt(self, row: Row, now: dt.datetime) -> Outcome:
        """One request, at most twenty seconds."""
        started = time.monotonic()
        status, retry_after, error = None, None, None
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                url, host = await ssrf.reach(row["url"], self.resolver, loopback=self.loopback)
                status, retry_after = await self._post(url, host, row, now)
        except ssrf.ForbiddenAddressError as refused:
            error = str(refused)
        except TimeoutError:
            error = f"no answer within {_TIMEOUT_S} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as failure:
            error = f"{type(failure).__name__}: {failure}"[:300]
        except Exception as failure:  # noqa: BLE001 - any error is an attempt that failed
            _log.exception("event %s to %s", row["event_id"], row["endpoint_id"])
            error = type(failure).__name__
        return Outcome(status, error, round((time.monotonic() - started) * 1000), retry_after)

    async def _post(self, url: str, host: str, row: Row, now: dt.datetime) -> tuple[int, int | None]:
        at = now.astimezone(dt.UTC)  # the library takes any zone for UTC
        body = json.dumps(row["payload"], separators=(",", ":"), ensure_ascii=False)
        secrets_ = [row["secret"], *([row["old_secret"]] if row["old_secret"] else [])]
        headers = {
            **observability.tracing.headers(),
            "host": httpx.URL(row["url"]).netloc.decode(),
            "content-type": "application/json",
            "user-agent": "Brimful",
            "webhook-id": row["event_id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(
                standardwebhooks.Webhook(secret).sign(row["event_id"], at, body) for secret in secrets_
            ),
        }
        # The connection is made to the address that was checked, the certificate is checked for the name.
        extensions = {"sni_hostname": host, "timeout": httpx.Timeout(_TIMEOUT_S).as_dict()}
        request = httpx.Request("POST", url, content=body.encode(), headers=headers, extensions=extensions)
        response = await self._client.send(request, stream=True)
        try:
            taken = 0
            async for chunk in response.aiter_raw():
                taken += len(chunk)
                if taken > _ANSWER_BYTES_MAX:
                    break
        finally:
            await response.aclose()
        return response.status_code, _retry_after_s(response)


def _retry_after_s(response: httpx.Response) -> int | None:
    given = response.headers.get("retry-after", "")
    return min(int(given), _RETRY_AFTER_MAX_S) if given.isascii() and given.isdigit() and len(given) < 8 else None


_ATTEMPTED = """
    INSERT INTO delivery_attempts (event_id, endpoint_id, attempt, at, status, error, took_ms)
    VALUES (%(event_id)s, %(endpoint_id)s, %(attempt)s, %(now)s, %(status)s, %(error)s, %(took_ms)s)
    ON CONFLICT DO NOTHING
"""
_MOVE = """
    UPDATE deliveries SET state = %(state)s, next_at = %(next_at)s, ended_at = %(ended_at)s
    WHERE event_id = %(event_id)s AND endpoint_id = %(endpoint_id)s AND state = 'pending' AND attempts = %(attempt)s
"""
_WELL = "UPDATE webhook_endpoints SET failing_since = NULL WHERE endpoint_id = %s AND failing_since IS NOT NULL"
_FAILING = """
    UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, %s) WHERE endpoint_id = %s AND enabled
    RETURNING failing_since
"""
# The endpoint first: disabling it moves its other deliveries as well.
_LOCK = "SELECT FROM webhook_endpoints WHERE endpoint_id = %s FOR NO KEY UPDATE"


async def _note(tx: Tx, row: Row, outcome: Outcome) -> None:
    """Write an attempt down, and what follows from it."""
    place = {"event_id": row["event_id"], "endpoint_id": row["endpoint_id"], "attempt": row["attempts"]}
    if await tx.one(_LOCK, (row["endpoint_id"],)) is None:
        return  # the endpoint was deleted meanwhile
    now = await tx.now()
    attempt = {"now": now, "status": outcome.status, "error": outcome.error, "took_ms": outcome.took_ms}
    await tx.execute(_ATTEMPTED, {**place, **attempt})
    if outcome.ok:
        await tx.execute(_MOVE, {**place, "state": "succeeded", "next_at": None, "ended_at": now})
        await tx.execute(_WELL, (row["endpoint_id"],))
        return
    wait_s = _wait_s(row["attempts"], outcome.retry_after_s) if row["enabled"] else None
    if wait_s is None:
        await tx.execute(_MOVE, {**place, "state": "failed", "next_at": None, "ended_at": now})
    else:
        next_at = now + dt.timedelta(seconds=wait_s)
        await tx.execute(_MOVE, {**place, "state": "pending", "next_at": next_at, "ended_at": None})
    failing = await tx.one(_FAILING, (now, row["endpoint_id"]))
    if failing is None:
        return
    if outcome.status == _GONE:
        await _disable(tx, row, "gone")
    elif now - failing["failing_since"] >= _DISABLE_AFTER and row["attempts"] >= _DISABLE_ATTEMPTS:
        await _disable(tx, row, "failing")


def _wait_s(attempts: int, retry_after_s: int | None) -> float | None:
    """Until the next attempt; None after the last."""
    if attempts > len(WAITS_S):
        return None
    jitter = 1 + _JITTER * (secrets.randbelow(2001) - 1000) / 1000
    return max(WAITS_S[attempts - 1] * jitter, retry_after_s or 0)


_DISABLE = """
    UPDATE webhook_endpoints SET enabled = false, disabled_reason = %(reason)s, updated_at = %(now)s
    WHERE endpoint_id = %(endpoint_id)s AND enabled
"""
_GIVE_UP = """
    UPDATE deliveries SET state = 'failed', next_at = NULL, ended_at = %(now)s
    WHERE endpoint_id = %(endpoint_id)s AND state = 'pending'
"""


async def _disable(tx: Tx, row: Row, reason: str) -> None:
    """Send nothing more there, and say so: in the log, to the other endpoints, in the list of webhooks."""
    values: dict[str, Any] = {"endpoint_id": row["endpoint_id"], "reason": reason, "now": await tx.now()}
    if not await tx.execute(_DISABLE, values):
        return
    await tx.execute(_GIVE_UP, {"endpoint_id": row["endpoint_id"], "now": values["now"]})
    _log.error("ALARM webhook %s (%s) is disabled: %s", row["endpoint_id"], ssrf.shown(row["url"]), reason)
    data = {"webhook_id": row["endpoint_id"], "url": ssrf.shown(row["url"]), "reason": reason}
    await events.emit(tx, Topic.WEBHOOK_DISABLED, None, data)
