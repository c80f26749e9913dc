"""The registry of handlers, and what they share."""

import dataclasses
from collections.abc import Callable
from typing import Any

from psycopg.types.json import Jsonb

from brimful.dev.simulation.tables import Row, Tables

Handler = Callable[[Tables, Any], "list[Row] | int"]
HANDLERS: dict[str, Handler] = {}


def on(*statements: str) -> Callable[[Handler], Handler]:
    """Registers the handler of these statements."""

    def register(handler: Handler) -> Handler:
        for statement in statements:
            assert statement not in HANDLERS, statement
            HANDLERS[statement] = handler
        return handler

    return register


def columns(values: Any, *names: str) -> list[tuple[Any, ...]]:
    """Arrays of parameters as rows."""
    return list(zip(*(values[name] for name in names), strict=True))


def plain(value: Any) -> Any:
    """A parameter as its column keeps it."""
    return value.obj if isinstance(value, Jsonb) else value


def maybe(row: Row | None) -> list[Row]:
    """One row or none."""
    return [] if row is None else [row]


def only(row: Row, kind: type) -> Row:
    """The fields of a dataclass alone."""
    return {field.name: row[field.name] for field in dataclasses.fields(kind)}
