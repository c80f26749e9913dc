"""The OpenAPI document: FastAPI's own, with what FastAPI cannot know."""

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from brimful.api import schemas, shortage, usage
from brimful.api.schemas import events
from brimful.auth import permissions
from brimful.core.errors import STATUS_BY_CODE
from brimful.notifications.events import Topic

VERSION = "1.0.0"  # of the API: docs/reference/versions.md
_DESCRIPTION = """Prepaid balances that stay funded.

Amounts are decimal strings, times RFC 3339 in UTC. Every write has a key: the id in its body, or `Idempotency-Key`.
Refusals are problems (RFC 9457) with a stable `code`. Unknown fields are refused on write; new fields may appear in
answers."""
_REF = "#/components/schemas/{model}"
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "A refusal (RFC 9457). `code` is stable; `detail` says what to do, for people.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "The page about this code, on this server."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": sorted(STATUS_BY_CODE)},
        "detail": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
        "balance": {"type": "string"},
        "available": shortage.AVAILABLE,
        **shortage.SCHEMA,
        "topup_url": {"type": "string"},
    },
    "examples": [
        {
            "type": "/docs/problems/insufficient_funds",
            "title": "What is available does not cover this.",
            "status": 402,
            "code": "insufficient_funds",
            "detail": "What is available does not cover this.",
            "request_id": "req_0198a1",
            "balance": "8.25",
            "available": "0.25",
            "requested": "3",
            "top_up": {"id": "top_0198a1", "state": "confirming", "units": "25"},
            "topup_url": "https://app.example/top-up",
        }
    ],
}
# A body that works, for each model that is sent.
_EXAMPLES: dict[str, dict[str, Any]] = {
    "CreateCustomer": {"name": "Acme", "external_id": "acme", "email": "billing@acme.example"},
    "UpdateCustomer": {"email": "accounts@acme.example"},
    "CreateAsset": {
        "code": "CREDIT", "name": "Credits", "precision": 2, "rates": [{"source": "USD", "rate": "0.10"}],
    },
    "UpdateAsset": {"hold_bridge": "500"},
    "AddRate": {"source": "USD", "rate": "0.12", "valid_from": "2027-01-01T00:00:00Z"},
    "QuoteRequest": {"source": "USD", "amount": "10"},
    "Adjustment": {"transaction_id": "welcome-acme", "asset": "USD", "amount": "5", "reason": "gift"},
    "Charge": {"transaction_id": "seat-2026-11", "asset": "USD", "amount": "12", "description": "One seat"},
    "CreateHold": {"id": "job-81", "asset": "USD", "amount": "3", "expires_in_s": 900},
    "UseLease": {"id": "tokens-1", "amount": "0.0125"},
    "SetBudget": {"asset": "USD", "amount": "50", "window": "day", "subject": "key-1", "name": "Key 1"},
    "CaptureHold": {"amount": "2.4", "overrun": "covered"},
    "SetAlert": {"threshold": "5"},
    "SetPreset": {"threshold": "20", "amount": "50", "monthly_limit": "600", "threshold_max": "100"},
    "NewOffer": {"currency": "USD", "amount_from": "100", "percent": "10", "expires_after_days": 90},
    "SetOffers": {
        "offers": [{"currency": "USD", "amount_from": "100", "percent": "10", "expires_after_days": 90}],
    },
    "CreateTopUp": {
        "customer_id": "cus_0198a1", "amount": "25", "currency": "USD", "return_url": "https://app.example/billing",
        "failure_url": "https://app.example/billing",
    },
    "CreateRefund": {"amount": "10"},
    "CreateSession": {
        "customer_id": "cus_0198a1", "return_url": "https://app.example/billing",
        "failure_url": "https://app.example/billing", "flow": "auto_top_up", "asset": "USD",
    },
    "CreateBalanceToken": {"customer_id": "external_id:acme", "expires_in_s": 900},
    "CreateWebhook": {"url": "https://app.example/hooks/brimful", "topics": ["top_up.succeeded", "balance.low"]},
    "UpdateWebhook": {"enabled": True},
    "ReplayEvent": {"webhook_id": "whk_0198a1"},
    "ReplaySince": {"since": "2026-11-24T00:00:00Z"},
}  # fmt: skip


def document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with the plain hot route, problems, keys, examples and webhooks. Built once."""
    if app.openapi_schema is None:
        made = get_openapi(title="Brimful", version=VERSION, description=_DESCRIPTION, routes=app.routes)
        made["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        made["servers"] = [{"url": "/"}]
        made["paths"][usage.PATH] = copy.deepcopy(usage.OPENAPI)
        schemas = made["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Problem"] = _PROBLEM
        schemas |= usage.SCHEMAS
        for name, example in _EXAMPLES.items():
            schemas[name]["examples"] = [example]
        made["components"]["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "balance_token": {"type": "http", "scheme": "bearer"},
            "credyt_key": {"type": "apiKey", "in": "header", "name": "X-CREDYT-API-KEY"},
        }
        made["components"]["headers"] = _HEADERS
        for path, methods in made["paths"].items():
            for method, operation in methods.items():
                _complete(path, method, operation)
        made["webhooks"] = _webhooks(schemas)
        _untitle(made)
        app.openapi_schema = made
    return app.openapi_schema


_HEADERS: dict[str, Any] = {
    "RequestId": {"description": "Names this request in our log.", "schema": {"type": "string"}},
    "RateLimit": {
        "description": "What is left of the key's rate limit (`r`), and for how many seconds (`t`).",
        "schema": {"type": "string", "examples": ['"key";r=199999;t=10']},
    },
    "RateLimitPolicy": {
        "description": "The key's rate limit: `q` requests within `w` seconds.",
        "schema": {"type": "string", "examples": ['"key";q=200000;w=10']},
    },
}
_ANSWER_HEADERS = {
    name: {"$ref": f"#/components/headers/{header}"}
    for name, header in (
        ("Request-Id", "RequestId"),
        ("RateLimit", "RateLimit"),
        ("RateLimit-Policy", "RateLimitPolicy"),
    )
}
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "Of one API key: the same key with the same body replays the first answer, for a day at least.",
}


def _untitle(part: Any) -> None:
    """Without the titles that are made of names: `Customer Id` says no more than `customer_id`."""
    for name, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list):
            if isinstance(value, dict) and isinstance(value.get("title"), str) and name not in {"info", "examples"}:
                del value["title"]
            if name != "examples":
                _untitle(value)


def operation_id(route: APIRoute) -> str:
    """An operation is named as its function: clients are made from these names."""
    return route.name


_CUSTOMER_ID = "The customer's id, or `external_id:` and your own, such as `external_id:acme`."


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """What every operation has: problems for refusals, headers, the scope of its caller, and its key where it takes
    one.
    """
    operation["summary"] = " ".join(operation.get("description", operation["summary"]).split()).partition(". ")[0]
    operation["summary"] = operation["summary"].rstrip(".")
    row = permissions.row_for("api", method.upper(), path)
    schemes = ("key", "credyt_key") if "key" in row.who else ("balance_token",)
    operation["security"] = [{scheme: [] if row.scope is None else [row.scope]} for scheme in schemes]
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "customer_id":
            parameter["description"] = _CUSTOMER_ID
    responses = operation["responses"]
    responses.pop("422", None)
    responses["default"] = {
        "description": "A problem; its `code` says which.",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
    for response in responses.values():
        response["headers"] = {**response.get("headers", {}), **_ANSWER_HEADERS}
    if method == "post":
        operation.setdefault("parameters", []).append(_KEY_HEADER)


def _webhooks(schemas: dict[str, Any]) -> dict[str, Any]:
    """One entry per topic, by OpenAPI 3.1's `webhooks`."""
    models = [(model, "serialization") for model in dict.fromkeys(events.DATA.values())]
    _, definitions = models_json_schema(models, ref_template=_REF)  # type: ignore[arg-type]
    schemas.update(definitions["$defs"])
    return {topic.value: {"post": _webhook(topic)} for topic in Topic}


def _webhook(topic: Topic) -> dict[str, Any]:
    model = schemas.events.DATA[topic].__name__
    payload = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": topic.value},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": _REF.format(model=model)},
        },
        "examples": [{"type": topic.value, "timestamp": events.MOMENT, "data": events.sample(topic)}],
    }
    return {
        "tags": ["Events"],
        "summary": schemas.events.SUMMARIES[topic],
        "operationId": f"on_{topic.value.replace('.', '_')}",
        "description": "Signed by Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": payload}}},
        "responses": {"2XX": {"description": "Received. Anything else is tried again."}},
        "security": [],
    }
