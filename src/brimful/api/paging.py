"""Pages: bounds for lists, and cursors that tell nothing."""

import base64
import binascii
from typing import Annotated

from fastapi import Query

from brimful.errors import Refused

__all__ = ["Limit", "Offset", "cursor_after", "read_cursor"]

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


def cursor_after(seq: int) -> str:
    return base64.urlsafe_b64encode(f"s{seq}".encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    if not (text.startswith("s") and text[1:].isascii() and text[1:].isdigit() and len(text) < 20):
        raise Refused("invalid_field", "This cursor is not one that we gave.", field="cursor")
    return int(text[1:])
