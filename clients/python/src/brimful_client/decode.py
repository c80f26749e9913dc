"""JSON as the types of `shapes`: amounts become Decimal, times aware datetimes.

What is not known is let through: fields are ignored, and new values of a `Literal` stay the text that they are, so that
a newer server does not break an older client.
"""

import dataclasses
import datetime as dt
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

T = TypeVar("T")
_Read = Callable[[Any], Any]


class DecodeError(ValueError):
    """The text is no JSON, or not of this type."""


def decode(text: bytes, shape: type[T]) -> T:
    """JSON as a value of `shape`.

    Raises:
        DecodeError: it is none.
    """
    try:
        content = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}") from None
    return convert(content, shape)


def convert(content: Any, shape: type[T]) -> T:
    """What JSON held, as a value of `shape`; raises `DecodeError`."""
    of: Any = shape
    value: T = _reader(of)(content)
    return value


@functools.cache
def _reader(shape: Any) -> _Read:
    """What reads a value of a type, made once for each."""
    origin, parts = typing.get_origin(shape), typing.get_args(shape)
    if shape in _PLAIN:
        return _PLAIN[shape]
    if origin in {typing.Union, types.UnionType}:
        [inner] = (part for part in parts if part is not type(None))
        read = _reader(inner)
        return lambda value: None if value is None else read(value)
    if origin is list:
        item = _reader(parts[0])
        return lambda value: [item(one) for one in _of(list, value)]
    if origin is dict:
        item = _reader(parts[1])
        return lambda value: {name: item(one) for name, one in _of(dict, value).items()}
    if origin is typing.Literal:
        return functools.partial(_of, str)
    return _struct(origin or shape, parts)


def _struct(kind: Any, parts: tuple[Any, ...]) -> _Read:
    hints = typing.get_type_hints(kind)
    variables = dict(zip(getattr(kind, "__parameters__", ()), parts, strict=True))
    fields = [
        (field.name, _reader(_filled(hints[field.name], variables)), field.default is dataclasses.MISSING)
        for field in dataclasses.fields(kind)
    ]

    def read(value: Any) -> Any:
        given: Mapping[str, Any] = _of(dict, value)
        found = {}
        for name, reader, required in fields:
            if name in given:
                try:
                    found[name] = reader(given[name])
                except DecodeError as error:
                    raise DecodeError(f"{name}: {error}") from None
            elif required:
                raise DecodeError(f"{name} is missing")
        return kind(**found)

    return read


def _filled(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """`list[Item]` of a `Page[Customer]` is `list[Customer]`."""
    if typing.get_origin(hint) is list:
        return list[_filled(typing.get_args(hint)[0], variables)]  # type: ignore[misc]
    return variables.get(hint, hint)


def _of(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DecodeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise DecodeError(f"expected an amount, got {type(value).__name__}")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise DecodeError(f"expected an amount, got {value!r:.40}") from None


def _moment(value: Any) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(_of(str, value))
    except ValueError:
        raise DecodeError(f"expected a time, got {value!r:.40}") from None
    if moment.tzinfo is None:
        raise DecodeError(f"expected a time with its zone, got {value!r:.40}")
    return moment


_PLAIN: dict[Any, _Read] = {
    Any: lambda value: value,
    str: functools.partial(_of, str),
    int: functools.partial(_of, int),
    bool: functools.partial(_of, bool),
    Decimal: _decimal,
    dt.datetime: _moment,
    type(None): lambda _value: None,
}
