"""POST /v1/usage: the hot route. It stands before all applications, uses msgspec, and is documented by hand.

A row that cannot be applied is refused alone; its neighbours are applied.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from brimful import customers
from brimful.api import idempotency, json_body, problems, shortage
from brimful.api.auth import Auth
from brimful.api.json_body import AMOUNT_SCHEMA, UNUSUAL
from brimful.api.problems import DATABASE_ERRORS
from brimful.auth import permissions
from brimful.budgets import tags
from brimful.core import money, text, text as texts
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.ledger.accounts import AccountKey
from brimful.observability import metrics
from brimful.posting.group_commit import Recorder
from brimful.posting.model import Movement, Verdict
from brimful.top_ups.model import TopUp
from brimful.web import pages
from brimful.web.pages import RefusalLog
from brimful.wiring import Deps

PATH = "/v1/usage"
_ROW = permissions.row_for("api", "POST", PATH)
_BODY_MAX = 2 * 1024 * 1024
_EVENTS_MAX = 1000
_ID_MAX = 255
_DESCRIPTION_MAX = 500
_OF_THE_PROBLEM = ("status", "code", "detail")  # a problem names these itself


class Event(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One use. `amount` is positive and stays raw until the pattern has checked it."""

    id: str
    asset: str
    amount: msgspec.Raw
    customer_id: str | None = None
    customer_external_id: str | None = None
    occurred_at: dt.datetime | None = None
    description: str | None = None
    if_insufficient: Literal["record", "refuse"] = "record"
    subject: str | None = None
    dimensions: dict[str, str] | None = None


class Batch(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Up to 1,000 events, each decoded alone so that a bad one spoils nothing."""

    events: list[msgspec.Raw]


_event = msgspec.json.Decoder(Event)
_batch = msgspec.json.Decoder(Batch)
_encode = msgspec.json.Encoder().encode


class HotRoute:
    """Answers one path before anything else sees the request, and does what is done for every other: an id, the headers
    of every answer, the count, a 500 that is logged. The way through the applications took a third of a single event's
    time.
    """

    def __init__(
        self, app: ASGIApp, endpoint: Callable[[Request], Awaitable[Response]], headers: Mapping[str, str]
    ) -> None:
        self._app = app
        self._endpoint = endpoint
        self._counters: dict[int, Counter] = {}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._app(scope, receive, send)
            return
        problems.give_id(scope)
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except Exception as error:  # noqa: BLE001 - outside of Starlette, which would answer it
            response = problems.bug(request, error)
        response.raw_headers += [*self._headers, *problems.own_headers(scope)]
        self._count(response.status_code)
        await response(scope, receive, send)

    def _count(self, status: int) -> None:
        counter = self._counters.get(status)
        if counter is None:
            counter = self._counters[status] = metrics.HTTP.labels("api", status)
        counter.inc()


class UsageRoute:
    """The route with what it needs."""

    def __init__(
        self,
        auth: Auth,
        deps: Deps,
        recorder: Recorder,
        refusals: RefusalLog,
    ) -> None:
        self._auth = auth
        self._deps = deps
        self._database = deps.database
        self._catalogue = deps.catalogue
        self._recorder = recorder
        self._topup_url = deps.settings.topup_url
        self._refusals = refusals

    async def __call__(self, request: Request) -> Response:
        try:
            problems.require_plain_address(request.scope)
            if request.method != "POST":
                refused = Refused("method_not_allowed", "Usage is recorded with POST.")
                return problems.problem(request, refused, {"Allow": "POST"})
            principal = await self._auth.principal(request)
            permissions.authorize(_ROW, permissions.Caller("key", principal.scopes))
            body = await pages.read_bounded(request, _BODY_MAX)
            once = idempotency.of(self._deps, principal.key_id, request)
            if once is None:
                return await self._answer(request, body)
            return await once.around(lambda: self._claimed(once, request, body))
        except Refused as refused:
            self._refusals.note(request, refused)
            return problems.problem(request, refused)
        except DATABASE_ERRORS as error:
            return problems.database_problem(request, error)

    async def _claimed(self, once: idempotency.Once, request: Request, body: bytes) -> Response:
        await once.claim(body)
        return await self._answer(request, body)

    async def _answer(self, request: Request, body: bytes) -> Response:
        raw = _rows(body)
        single = raw is None
        rows = [_decode(item) for item in ([msgspec.Raw(body)] if raw is None else raw)]
        results = await self._record(rows)
        if single and results[0]["status"] == "refused":
            result = results[0]
            extra = {name: result[name] for name in result if name not in _OF_THE_PROBLEM}
            if result["code"] == shortage.CODE and self._topup_url is not None:
                extra["topup_url"] = self._topup_url
            return problems.problem(request, Refused(result["code"], result["detail"], **extra))
        content = results[0] if single else {"results": results}
        return Response(_encode(content), media_type="application/json")

    async def _record(self, rows: list[Event | Refused]) -> list[dict[str, Any]]:
        await self._meet_assets({row.asset for row in rows if isinstance(row, Event)})
        externals = [text.one_writing(row.customer_external_id) for row in rows
                     if isinstance(row, Event) and row.customer_external_id]  # fmt: skip
        known: dict[str, str] = {}
        if externals:
            async with self._database.transaction() as tx:
                known = await customers.resolve_external(tx, externals)
        moves = [self._movement(row, known) if isinstance(row, Event) else row for row in rows]
        submitted = [move for move in moves if isinstance(move, Movement)]
        verdicts = await self._recorder.submit(submitted) if submitted else []
        answered = [(_account(move), verdict) for move, verdict in zip(submitted, verdicts, strict=True)]
        lacking = {account for account, verdict in answered if verdict.code == shortage.CODE}
        coming = await shortage.on_their_way(self._database, lacking)
        answers = iter([_facts(account, verdict, coming.get(account)) for account, verdict in answered])
        return [
            {"id": row.id if isinstance(row, Event) else None}
            | (next(answers) if isinstance(move, Movement) else _refused(move))
            for row, move in zip(rows, moves, strict=True)
        ]

    async def _meet_assets(self, codes: set[str]) -> None:
        """Look up assets that this process has not met; unknown ones stay unknown."""
        if all(self._catalogue.peek(code) is not None for code in codes):
            return
        async with self._database.transaction() as tx:
            for code in codes:
                try:
                    await self._catalogue.get(tx, code)
                except Refused:
                    continue

    def _movement(self, event: Event, known: dict[str, str]) -> Movement | Refused:
        asset = self._catalogue.peek(event.asset)
        if asset is None:
            return Refused(
                "asset_not_found", f"There is no asset {event.asset[:40]!r}: create it with POST /v1/assets."
            )
        customer_id = event.customer_id or known.get(text.one_writing(event.customer_external_id or ""))
        if customer_id is None:
            return Refused("customer_not_found", "There is no customer with this external_id.")
        try:
            amount = money.positive(money.from_json(bytes(event.amount), scale=asset.scale))
            subject = None if event.subject is None else tags.subject(event.subject)
            dimensions = None if event.dimensions is None else tags.dimensions(event.dimensions)
        except Refused as refused:
            return refused
        return Movement(
            kind="usage",
            customer_id=CustomerId(customer_id),
            asset=asset.code,
            key=event.id,
            amount=-amount,
            covered_only=event.if_insufficient == "refuse",
            occurred_at=event.occurred_at,
            description=event.description,
            subject=subject,
            dimensions=dimensions,
        )


def _rows(body: bytes) -> list[msgspec.Raw] | None:
    """The rows of a batch, or None when the body is one event."""
    try:
        events = _batch.decode(body).events
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if isinstance(error, msgspec.ValidationError) and b'"events"' not in body:
            return None
        if isinstance(error, msgspec.ValidationError):
            raise Refused("invalid_field", f"The body must be one event or {{events: [...]}}: {error}") from None
        raise Refused("malformed_json", "The body is not valid JSON (RFC 8259, UTF-8).") from None
    if not 1 <= len(events) <= _EVENTS_MAX:
        raise Refused("invalid_field", f"events must hold 1 to {_EVENTS_MAX} events.", field="events")
    return events


def _decode(raw: msgspec.Raw) -> Event | Refused:
    try:
        event = _event.decode(raw)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        return Refused("invalid_field", str(error))
    except (msgspec.DecodeError, RecursionError):
        return Refused("malformed_json", "The event is not valid JSON.")
    return _invalid(event) or event


def _invalid(event: Event) -> Refused | None:
    """What is wrong with an event that has the right form."""
    given = (event.id, event.customer_id, event.customer_external_id, event.description)
    if any(text is not None and not texts.plain(text) for text in given):
        return Refused("invalid_field", "A string holds a control character, or one that cannot be kept.")
    if not 1 <= len(event.id) <= _ID_MAX:
        return Refused("invalid_field", f"id must have 1 to {_ID_MAX} characters.", field="id")
    if (event.customer_id is None) == (event.customer_external_id is None):
        return Refused("invalid_field", "Give either customer_id or customer_external_id.", field="customer_id")
    if event.description is not None and len(event.description) > _DESCRIPTION_MAX:
        return Refused("invalid_field", f"description may have {_DESCRIPTION_MAX} characters.", field="description")
    return None if event.occurred_at is None else _invalid_time(event.occurred_at)


def _invalid_time(moment: dt.datetime) -> Refused | None:
    if moment.tzinfo is None:
        return Refused("invalid_field", "occurred_at needs a zone, such as 2026-11-23T10:00:00Z.", field="occurred_at")
    return None if json_body.within_usual_length(moment) else Refused("invalid_field", UNUSUAL, field="occurred_at")


def _account(movement: Movement) -> AccountKey:
    return movement.customer_id, movement.asset


def _facts(account: AccountKey, verdict: Verdict, coming: TopUp | None) -> dict[str, Any]:
    """What became of one use of this account."""
    facts: dict[str, Any] = {"status": verdict.outcome}
    if verdict.outcome == "refused":
        facts |= {"code": verdict.code, "detail": verdict.detail}
    if verdict.balance is not None:
        facts |= {"account": f"default:{account[1]}", **shortage.facts(verdict, coming)}
    return facts


def _refused(refused: Refused) -> dict[str, Any]:
    return {"status": "refused", "code": refused.code, "detail": refused.detail}


_EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "asset", "amount"],
    "properties": {
        "id": {
            "type": "string",
            "minLength": 1,
            "maxLength": _ID_MAX,
            "description": "Your id; the same id is one use.",
        },
        "customer_id": {"type": "string"},
        "customer_external_id": {"type": "string"},
        "asset": {"type": "string", "examples": ["USD"]},
        "amount": {**AMOUNT_SCHEMA, "examples": ["0.0125"]},
        "occurred_at": {"type": "string", "format": "date-time"},
        "description": {"type": "string", "maxLength": _DESCRIPTION_MAX},
        "if_insufficient": {"type": "string", "enum": ["record", "refuse"], "default": "record"},
        "subject": {
            "type": "string",
            "minLength": 1,
            "maxLength": tags.SUBJECT_MAX,
            "description": "Whom or what it was used for: an API key, an agent, a user, a run.",
        },
        "dimensions": {
            "type": "object",
            "maxProperties": tags.DIMENSIONS_MAX,
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": tags.VALUE_MAX},
            "examples": [{"team": "research"}],
        },
    },
}
_EXAMPLE = {"id": "job-81-tokens", "customer_external_id": "acme", "asset": "USD", "amount": "0.0125"}
SCHEMAS: dict[str, Any] = {
    "UsageResult": {
        "type": "object",
        "description": "The result of one event. `code` and `detail` say why it was refused.",
        "required": ["id", "status"],
        "properties": {
            "id": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "status": {"type": "string", "enum": ["applied", "duplicate", "refused"]},
            "account": {"type": "string"},
            "balance": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"},
            "available": shortage.AVAILABLE,
            **shortage.SCHEMA,
            "code": {"type": "string"},
            "detail": {"type": "string"},
        },
    },
    "UsageResults": {
        "type": "object",
        "description": "One result per event, in order.",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": {"$ref": "#/components/schemas/UsageResult"}}},
    },
}
OPENAPI: dict[str, Any] = {
    "post": {
        "tags": ["Usage"],
        "summary": "Record usage",
        "operationId": "record_usage",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            _EVENT_SCHEMA,
                            {
                                "type": "object",
                                "required": ["events"],
                                "additionalProperties": False,
                                "properties": {
                                    "events": {
                                        "type": "array",
                                        "minItems": 1,
                                        "maxItems": _EVENTS_MAX,
                                        "items": _EVENT_SCHEMA,
                                    }
                                },
                            },
                        ]
                    },
                    "examples": {"one": {"value": _EXAMPLE}, "several": {"value": {"events": [_EXAMPLE]}}},
                }
            },
        },
        "responses": {
            "200": {
                "description": "Committed.",
                "content": {
                    "application/json": {
                        "schema": {
                            "oneOf": [
                                {"$ref": "#/components/schemas/UsageResult"},
                                {"$ref": "#/components/schemas/UsageResults"},
                            ]
                        }
                    }
                },
            }
        },
    }
}
