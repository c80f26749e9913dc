"""The client's types, made from the OpenAPI document. `scripts/reference.py` writes them; a test holds them to it."""

import textwrap
from collections.abc import Iterator
from typing import Any

# What the client's operations answer; the types that these are made of come with them.
_ANSWERS = (
    "AccountDetails", "Alert", "Asset", "BalanceToken", "Budget", "Card", "CreatedAsset", "CreatedWebhook",
    "Customer", "DebitExplanation", "Entry", "Grant", "GrantEntry", "Hold", "Id", "LeaseUse", "PaymentLink",
    "PortalLink", "Posted", "Quote", "Replayed", "Rule", "Spend", "TopUp", "Transaction", "UsageResult",
    "UsageResults", "Wallet", "Webhook", "WebhookItem",
)  # fmt: skip
_REF = "#/components/schemas/"
_HEAD = '''"""What the API answers, as types. Amounts are Decimal, times are aware. Unknown fields are ignored.

Generated from docs/reference/openapi.json by `make docs`.
"""

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Items(Generic[Item]):
    """A whole list."""

    items: list[Item]


@dataclasses.dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list. `next_cursor` leads to the next one; None on the last."""

    items: list[Item]
    next_cursor: str | None = None
'''


def module(document: dict[str, Any]) -> str:
    """The text of `brimful_client/shapes.py` for an OpenAPI 3.1 document."""
    schemas = document["components"]["schemas"]
    needed: list[str] = []
    for name in _ANSWERS:
        _collect(name, schemas, needed)
    return _HEAD + "".join(f"\n\n{_struct(name, schemas[name])}" for name in needed)


def _collect(name: str, schemas: dict[str, Any], needed: list[str]) -> None:
    """The types that a type is made of stand before it."""
    if name not in needed:
        for other in _references(schemas[name]):
            _collect(other, schemas, needed)
        needed.append(name)


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix(_REF)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _struct(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    first, then = [], []
    for field, of in schema["properties"].items():
        type_ = _type(of)
        if field not in required and "None" not in type_:
            type_ += " | None"
        if type_.endswith("| None"):
            then.append(f"    {field}: {type_} = None")
        else:
            first.append(f"    {field}: {type_}")
    about = textwrap.fill(f'"""{schema["description"]}', 116, initial_indent="    ", subsequent_indent="    ")
    about += '"""' if "\n" not in about else '\n    """'
    return "\n".join(["@dataclasses.dataclass(frozen=True)", f"class {name}:", about, "", *first, *then]) + "\n"


def _type(schema: dict[str, Any]) -> str:
    match schema:
        case {"$ref": reference}:
            return str(reference).removeprefix(_REF)
        case {"anyOf": [one, {"type": "null"}]}:
            return f"{_type(one)} | None"
        case {"enum": [*values]}:
            quoted = ", ".join(f'"{value}"' for value in values)
            return f"Literal[{quoted}]"
        case {"type": "array", "items": of}:
            return f"list[{_type(of)}]"
        case {"type": "object", "additionalProperties": dict(of)}:
            return f"dict[str, {_type(of)}]"
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    if schema.get("format") == "date-time":
        return "dt.datetime"
    if schema.get("pattern", "").startswith("^-?[0-9]"):
        return "Decimal"
    types = {"string": "str", "integer": "int", "boolean": "bool", "object": "dict[str, Any]", "array": "list[Any]"}
    return types[schema["type"]] if "type" in schema else "Any"
