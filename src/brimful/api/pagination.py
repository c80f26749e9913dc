"""Pagination: bounds for lists, and opaque cursors."""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Query

from brimful.core.errors import Refused

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
_LENGTH_MAX = 400
Item = TypeVar("Item")


def cursor_after(kind: str, place: str) -> str:
    """A cursor to that position; `kind` distinguishes one list's cursors from another's."""
    return base64.urlsafe_b64encode(f"{kind}{place}".encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str | None) -> str | None:
    """The place that a cursor of that kind leads to; refuses any other text."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor[:_LENGTH_MAX] + "=" * (-len(cursor) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    if not text.startswith(kind) or not text.isprintable():
        raise Refused("invalid_field", "This cursor is not one that we gave.", field="cursor")
    return text[len(kind) :]


def one_way(offset: int, cursor: str | None) -> None:
    """Refuse a place that is given twice."""
    if offset and cursor is not None:
        raise Refused("invalid_field", "Give a cursor or an offset, not both.", field="offset")


def cut(kind: str, rows: list[Item], limit: int, place: Callable[[Item], object]) -> tuple[list[Item], str | None]:
    """One page of rows, of which one more than `limit` was read, and the cursor to the next page."""
    more = len(rows) > limit
    return rows[:limit], cursor_after(kind, str(place(rows[limit - 1]))) if more else None


def read_number(kind: str, cursor: str | None) -> int | None:
    """The same where places are numbers."""
    place = read_cursor(kind, cursor)
    if place is None:
        return None
    if not (place.isascii() and place.isdigit() and len(place) < 19):
        raise Refused("invalid_field", "This cursor is not one that we gave.", field="cursor")
    return int(place)
