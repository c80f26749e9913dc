"""Columns: the values of one column, sent as one array parameter.

psycopg's own dumper of lists looks at every element several times; on the hot path that took longer than the rest of
a debit together. Each class knows its elements' type, so one pass is enough. They are lists: reading them needs
to know nothing of this.
"""

import datetime as dt
import struct
from collections.abc import Sequence
from decimal import Decimal

import psycopg.adapt
import psycopg.pq

from brimful.core.ids import CustomerId


class Texts(list[str | None]):
    """For `%s::text[]`."""


class Names(list[str | None]):
    """For `%s::text[]` of which few are different: a batch has some assets, and one kind of entry or two."""


class CustomerIds(list[CustomerId | None]):
    """For `%s::uuid[]`."""


class Bytes(list[bytes]):
    """For `%s::bytea[]`."""


class Numbers(list[Decimal | int | None]):
    """For `%s::numeric[]` and `%s::bigint[]`."""


class Moments(list[dt.datetime | None]):
    """For `%s::timestamptz[]`."""


# PostgreSQL's binary array: dimensions, whether it holds NULL, type of the elements, length and lower bound of the
# dimension; then each element after its length, -1 for NULL. Source: array_recv in src/backend/utils/adt/arrayfuncs.c.
_HEAD = struct.Struct("!iiIii").pack
_LENGTH = struct.Struct("!i").pack
_NULL = _LENGTH(-1)
_TEXT, _TEXT_ARRAY, _BYTEA, _BYTEA_ARRAY, _UUID, _UUID_ARRAY = 25, 1009, 17, 1001, 2950, 2951  # pg_type.dat


def _array(element: int, items: Sequence[bytes | None]) -> bytes:
    """A binary array of elements of that type."""
    parts = [_NULL if data is None else _LENGTH(len(data)) + data for data in items]
    return _HEAD(1, 1, element, len(items), 1) + b"".join(parts)


def _array_of_size(element: int, size: int, items: Sequence[bytes]) -> bytes:
    """The same, where each takes so many bytes: their lengths are what joins them."""
    length = _LENGTH(size)
    return _HEAD(1, 0, element, len(items), 1) + (length + length.join(items) if items else b"")


class _TextsDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = _TEXT_ARRAY

    def dump(self, obj: Texts) -> bytes:
        return _array(_TEXT, [None if text is None else text.encode() for text in obj])


class _NamesDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = _TEXT_ARRAY

    def dump(self, obj: Names) -> bytes:
        known = {text: _NULL if text is None else _LENGTH(len(text.encode())) + text.encode() for text in set(obj)}
        return _HEAD(1, 1, _TEXT, len(obj), 1) + b"".join([known[text] for text in obj])


class _CustomerIdDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = _UUID

    def dump(self, obj: CustomerId) -> bytes:
        return obj.number


class _CustomerIdTextDumper(psycopg.adapt.Dumper):
    """For a list, whose elements psycopg asks for as text."""

    oid = _UUID

    def dump(self, obj: CustomerId) -> bytes:
        return obj.number.hex().encode()


class _CustomerIdsDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = _UUID_ARRAY

    def dump(self, obj: CustomerIds) -> bytes:
        if None in obj:
            return _array(_UUID, [None if customer_id is None else customer_id.number for customer_id in obj])
        return _array_of_size(_UUID, 16, [customer_id.number for customer_id in obj if customer_id is not None])


class _CustomerIdLoader(psycopg.adapt.Loader):
    """A uuid in this database is a customer's id and nothing else."""

    def load(self, data: bytes | bytearray | memoryview) -> CustomerId:
        return CustomerId("cus_" + bytes(data).decode().replace("-", ""))


class _CustomerIdBinaryLoader(psycopg.adapt.Loader):
    format = psycopg.pq.Format.BINARY

    def load(self, data: bytes | bytearray | memoryview) -> CustomerId:
        return CustomerId.of(bytes(data))


class _BytesDumper(psycopg.adapt.Dumper):
    format = psycopg.pq.Format.BINARY
    oid = _BYTEA_ARRAY

    def dump(self, obj: Bytes) -> bytes:
        return _array(_BYTEA, obj)


class _NumbersDumper(psycopg.adapt.Dumper):
    """As text: digits need no quotes in an array, and PostgreSQL reads both types from them."""

    def dump(self, obj: Numbers) -> bytes:
        return f"{{{','.join(['NULL' if number is None else str(number) for number in obj])}}}".encode()


class _MomentsDumper(psycopg.adapt.Dumper):
    """As text: RFC 3339 needs no quotes in an array. Most of a batch happened at the same moment."""

    def dump(self, obj: Moments) -> bytes:
        known = {moment: "NULL" if moment is None else moment.isoformat() for moment in set(obj)}
        return f"{{{','.join([known[moment] for moment in obj])}}}".encode()


ADAPTERS = psycopg.adapt.AdaptersMap(psycopg.adapters)
for _kind, _dumper in (
    (Texts, _TextsDumper), (Names, _NamesDumper), (CustomerId, _CustomerIdTextDumper), (CustomerId, _CustomerIdDumper),
    (CustomerIds, _CustomerIdsDumper), (Bytes, _BytesDumper),
    (Numbers, _NumbersDumper), (Moments, _MomentsDumper),
):  # fmt: skip
    ADAPTERS.register_dumper(_kind, _dumper)
for _loader in (_CustomerIdLoader, _CustomerIdBinaryLoader):
    ADAPTERS.register_loader("uuid", _loader)
