"""Parameters: Stripe's form encoding, and the table of those that the sandbox knows.

An unknown parameter is refused with 400, as Stripe does: ignoring it would hide our mistakes. A test holds
the table against the types of the official SDK.
"""

import re
import urllib.parse
from typing import Any

from brimful.sandbox.errors import ApiError

_UNSET = "unset"
_PART = re.compile(r"\[([^\]]*)\]")
_LIST = {"limit": "int", "starting_after": "str", "ending_before": "str", "expand[]": "str"}
_CREATED = {"created[gte]": "int", "created[gt]": "int", "created[lte]": "int", "created[lt]": "int", "created": "int"}

# call -> parameter -> kind: int, bool, str, or the allowed values; a trailing ! marks a required one, a trailing ? one
# that an empty value unsets. Metadata may always be unset: whole by `metadata=`, a name by `metadata[name]=`.
CALLS: dict[str, dict[str, str]] = {
    "customers.create": {"name": "str", "email": "str", "metadata[*]": "str", "description": "str", "expand[]": "str"},
    "customers.update": {
        "name": "str?", "email": "str?", "metadata[*]": "str", "description": "str?", "expand[]": "str",
    },
    "customers.delete": {},
    "customers.retrieve": {"expand[]": "str"},
    "customers.list": {**_LIST, **_CREATED, "email": "str"},
    "setup_intents.create": {
        "customer": "str", "payment_method": "str", "usage": "off_session|on_session", "metadata[*]": "str",
        "allowed_payment_method_types[]": "str", "confirm": "bool", "expand[]": "str",
    },
    "setup_intents.retrieve": {"expand[]": "str"},
    "payment_methods.list": {**_LIST, "customer": "str", "type": "str"},
    "payment_methods.retrieve": {"expand[]": "str"},
    "payment_methods.attach": {"customer": "str!", "expand[]": "str"},
    "payment_methods.detach": {"expand[]": "str"},
    "payment_intents.create": {
        "amount": "int!", "currency": "str!", "customer": "str", "payment_method": "str", "description": "str",
        "metadata[*]": "str", "allowed_payment_method_types[]": "str", "setup_future_usage": "off_session|on_session",
        "receipt_email": "str", "confirm": "bool", "off_session": "bool", "error_on_requires_action": "bool",
        "return_url": "str", "payment_method_types[]": "str", "expand[]": "str",
    },
    "payment_intents.confirm": {
        "payment_method": "str", "off_session": "bool", "error_on_requires_action": "bool", "return_url": "str",
        "setup_future_usage": "off_session|on_session", "expand[]": "str",
    },
    "payment_intents.retrieve": {"expand[]": "str"},
    "payment_intents.list": {**_LIST, **_CREATED, "customer": "str"},
    "payment_intents.cancel": {
        "cancellation_reason": "abandoned|duplicate|fraudulent|requested_by_customer", "expand[]": "str",
    },
    "checkout.sessions.create": {
        "mode": "payment|setup!", "customer": "str", "currency": "str", "success_url": "str", "cancel_url": "str",
        "expires_at": "int", "metadata[*]": "str", "allowed_payment_method_types[]": "str",
        "client_reference_id": "str", "locale": "str", "setup_intent_data[metadata][*]": "str",
        "payment_intent_data[metadata][*]": "str", "payment_intent_data[description]": "str",
        "payment_intent_data[setup_future_usage]": "off_session|on_session", "line_items[][quantity]": "int",
        "line_items[][price_data][currency]": "str", "line_items[][price_data][unit_amount]": "int",
        "line_items[][price_data][product_data][name]": "str", "expand[]": "str",
    },
    "checkout.sessions.retrieve": {"expand[]": "str"},
    "checkout.sessions.list": {**_LIST, **_CREATED, "customer": "str", "payment_intent": "str", "status": "str"},
    "checkout.sessions.expire": {"expand[]": "str"},
    "refunds.create": {
        "payment_intent": "str", "charge": "str", "amount": "int", "metadata[*]": "str",
        "reason": "duplicate|fraudulent|requested_by_customer", "expand[]": "str",
    },
    "refunds.retrieve": {"expand[]": "str"},
    "refunds.list": {**_LIST, **_CREATED, "payment_intent": "str", "charge": "str"},
    "disputes.retrieve": {"expand[]": "str"},
    "disputes.update": {
        **{f"evidence[{name}]": "str" for name in (
            "access_activity_log", "billing_address", "cancellation_policy_disclosure", "cancellation_rebuttal",
            "customer_email_address", "customer_name", "customer_purchase_ip", "duplicate_charge_explanation",
            "product_description", "refund_policy_disclosure", "refund_refusal_explanation", "service_date",
            "uncategorized_text",
        )},
        "submit": "bool", "metadata[*]": "str", "expand[]": "str",
    },
    "disputes.list": {**_LIST, **_CREATED, "payment_intent": "str", "charge": "str"},
    "radar.early_fraud_warnings.retrieve": {"expand[]": "str"},
    "events.retrieve": {},
    "events.list": {**_LIST, **_CREATED, "type": "str", "types[]": "str"},
    "webhook_endpoints.create": {
        "url": "str!", "enabled_events[]": "str", "api_version": "str", "description": "str", "metadata[*]": "str",
    },
    "webhook_endpoints.update": {
        "url": "str", "enabled_events[]": "str", "disabled": "bool", "description": "str", "metadata[*]": "str",
    },
    "webhook_endpoints.list": _LIST,
}  # fmt: skip


def decode(call: str, text: str) -> dict[str, Any]:
    """Form-encoded text as nested data, each value checked by the table."""
    known = CALLS[call]
    decoded: dict[str, Any] = {}
    for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
        head, parts = name.partition("[")[0], _PART.findall(name)
        kind = _kind(known, head, parts, name)
        _put(decoded, [head, *parts], _value(kind, value, name))
    for name, kind in known.items():
        if kind.endswith("!") and name not in decoded:
            raise ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    return {name: _lists(value) for name, value in decoded.items()}


def _kind(known: dict[str, str], head: str, parts: list[str], name: str) -> str:
    if name == "metadata" and "metadata[*]" in known:
        return _UNSET
    generic = head + "".join("[]" if part.isdigit() or not part else f"[{part}]" for part in parts)
    starred = head + "".join(f"[{part}]" for part in parts[:-1]) + "[*]"
    for candidate in (generic, starred):
        if candidate in known:
            return "str?" if candidate.endswith("metadata][*]") or candidate == "metadata[*]" else known[candidate]
    raise ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def _value(kind: str, value: str, name: str) -> Any:
    if not value or kind == _UNSET:
        return _unset(kind, value, name)
    kind = kind.rstrip("!?")
    if kind == "int":
        if not re.fullmatch(r"-?[0-9]{1,12}", value):
            raise ApiError(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
        return int(value)
    if kind == "bool":
        if value.lower() not in {"true", "false"}:
            raise ApiError(400, f"Invalid boolean: {value}", param=name)
        return value.lower() == "true"
    if kind != "str" and value not in kind.split("|"):
        raise ApiError(400, f"Invalid {name}: must be one of {kind.replace('|', ', ')}", param=name)
    if len(value) > 5000:
        raise ApiError(400, f"Invalid string: {name} is too long", param=name)
    return value


def _unset(kind: str, value: str, name: str) -> str:
    if value:
        raise ApiError(400, "Invalid object", param=name)
    if kind == _UNSET or kind.endswith("?"):
        return ""
    raise ApiError(
        400,
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=name,
    )


def _put(target: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise ApiError(400, "Invalid object", param=part)
    target[path[-1] or str(len(target))] = value


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    plain = {name: _lists(item) for name, item in value.items()}
    return list(plain.values()) if plain and all(name.isdigit() for name in plain) else plain
