"""Request bodies: bounded, and with numbers kept as they were written.

Python's own reader makes floats of JSON numbers (12.10 loses its exactness) and expands huge ones. Here a
number stays text until a field that expects one checks it.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from brimful.core import money, text
from brimful.core.errors import Refused
from brimful.web import pages

_YEARS = 2000, 2100
_DEPTH_MAX = 20
_ITEMS_MAX = 500
_COMMAS_MAX = 10_000
_STRING_MAX = 20_000


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse(body: bytes) -> Any:
    """JSON with exact numbers. Refuses what is not JSON, nests deeper than 20, or hides control characters."""
    if body.count(b",") > _COMMAS_MAX:  # more members than any request has: not worth reading
        raise Refused("malformed_json", f"The body has more than {_COMMAS_MAX} commas.")
    try:
        value = json.loads(body.decode("utf-8"), parse_float=Number, parse_int=Number, parse_constant=_constant)
    except RecursionError:
        raise Refused("malformed_json", f"The body nests deeper than {_DEPTH_MAX} levels.") from None
    except (ValueError, UnicodeDecodeError):
        raise Refused("malformed_json", "The body is not valid JSON (RFC 8259, UTF-8).") from None
    _validate(value, 0)
    return value


def _validate(value: Any, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise Refused("malformed_json", f"The body nests deeper than {_DEPTH_MAX} levels.")
    if isinstance(value, str):
        storable = "\x00" not in value and value.encode("utf-8", "replace").decode() == value
        if len(value) > _STRING_MAX or not storable:
            raise Refused(
                "malformed_json", "A string in the body is too long or holds a character that cannot be kept."
            )
    elif isinstance(value, dict | list):
        if len(value) > _ITEMS_MAX:  # a complaint about each would be a large answer
            raise Refused("malformed_json", f"An object or a list in the body has more than {_ITEMS_MAX} members.")
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _validate(item, depth + 1)


UNUSUAL = "A time must lie between the years 2000 and 2100."


def within_usual_length(moment: dt.date) -> bool:
    """Whether a time is one that happens: the first and last days of time have no UTC in some zones."""
    return _YEARS[0] <= moment.year < _YEARS[1]


class _ExactRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await pages.read_bounded(self)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_read"):
            self._read = parse(await self.body())
        if not isinstance(self._read, dict):  # FastAPI would look for the fields among a string's attributes
            raise Refused("invalid_field", "The body must be a JSON object.")
        return self._read


class ExactRoute(APIRoute):
    """A FastAPI route whose bodies are read by `parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def exact(request: Request) -> Response:
            # The body is read as JSON, no matter which Content-Type a client sends.
            headers = [item for item in request.scope["headers"] if item[0] != b"content-type"]
            scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
            own = _ExactRequest(scope, request.receive)
            if await own.body():  # what is wrong with it is said here: FastAPI has one sentence for everything
                await own.json()
            return await handler(own)

        return exact


def _text(value: Any) -> Any:
    if isinstance(value, Number) or not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic wants ValueError
    if not text.plain(value):
        raise ValueError("must be plain text without control characters")
    return text.one_writing(value)


def _whole(value: Any) -> Any:
    if not isinstance(value, Number) or not value.isdigit() or len(value) > 9:
        raise ValueError("must be a whole number")
    return int(value)


def _amount(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be a decimal, as a string or a number")  # noqa: TRY004 - pydantic wants ValueError
    try:
        if isinstance(value, Number):
            return money.text(money.parse_number(value, scale=money.SCALE_MAX))
        money.parse(value, scale=money.SCALE_MAX)
    except Refused as refused:
        raise ValueError(refused.detail) from refused
    return value


def _instant(value: Any) -> Any:
    if isinstance(value, Number) or not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("must be a time with a zone, such as 2026-11-23T10:00:00Z")
    if not _YEARS[0] <= int(value[:4]) < _YEARS[1]:
        raise ValueError(UNUSUAL)
    return value


def _metadata(value: Any) -> Any:
    simple = isinstance(value, dict) and len(value) <= 50
    if not simple or not all(
        isinstance(item, str) and len(item) <= 500 and len(name) <= 100 and text.plain(item) and text.plain(name)
        for name, item in value.items()
    ):
        raise ValueError("must be an object of at most 50 short strings")
    return {name: str(item) for name, item in value.items()}


# RFC 3339, section 5.6. pydantic alone would also take numbers, dates, and times without a zone.
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
Instant = Annotated[dt.datetime, BeforeValidator(_instant)]
Text = Annotated[str, BeforeValidator(_text), Field(max_length=500)]
Place = Annotated[str, BeforeValidator(_text), Field(max_length=2000)]  # an address to be called or returned to
Whole = Annotated[int, BeforeValidator(_whole)]
# A number is exact in JSON itself; text is for clients whose numbers are not.
AMOUNT_SCHEMA = {
    "type": ["string", "number"],
    "pattern": r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,12})?$",
    "description": "A plain decimal, as text or as a number.",
    "examples": ["12.50"],
}
# A decimal that kept its text: the asset's scale is checked later, when the asset is known.
AmountText = Annotated[str, BeforeValidator(_amount), PlainSerializer(str), WithJsonSchema(AMOUNT_SCHEMA)]
Metadata = Annotated[dict[str, str], BeforeValidator(_metadata)]
