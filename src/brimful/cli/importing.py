"""`brimful import`: rows of CSV, validated first, then sent through the API under keys that make a second run
harmless.
"""

import csv
import dataclasses
import datetime as dt
import pathlib
import re
from decimal import Decimal
from typing import Any

from brimful.core import money
from brimful.core.errors import ConfigurationError, Refused
from brimful_client.client import AsyncClient
from brimful_client.errors import Problem
from brimful_client.shapes import Customer

_COLUMNS = (
    "external_id", "name", "email", "stripe_customer_id", "asset", "balance", "credit", "purpose", "effective_at",
    "expires_at",
)  # fmt: skip
_PURPOSES = ("paid", "promotional", "correction")
_NEEDED = ("external_id", "name")
_ROWS_MAX = 1_000_000


@dataclasses.dataclass(frozen=True)
class Row:
    """One line. A customer may have several, one for each asset, or for each `credit` of an asset, by a name of its
    own.
    """

    line: int
    external_id: str
    name: str
    email: str | None
    stripe_customer_id: str | None
    asset: str | None
    balance: Decimal | None
    credit: str | None
    purpose: Any
    effective_at: dt.datetime | None
    expires_at: dt.datetime | None
    problems: tuple[str, ...]


@dataclasses.dataclass
class Report:
    """What was done, or would be."""

    created: int = 0
    known: int = 0
    credited: int = 0
    repeated: int = 0
    conflicts: list[str] = dataclasses.field(default_factory=list)


def read(path: pathlib.Path) -> list[Row]:
    """Every row, each with what is wrong with it.

    Raises:
        ConfigurationError: it is not CSV with these columns, or is empty.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as source:
            reader = csv.DictReader(source, strict=True)
            names = tuple(reader.fieldnames or ())
            unknown, missing = sorted(set(names) - set(_COLUMNS)), sorted(set(_NEEDED) - set(names))
            if unknown or missing:
                raise ConfigurationError(
                    f"{path}: the first line names the columns {', '.join(_COLUMNS)}; "
                    f"unknown: {unknown or 'none'}, missing: {missing or 'none'}."
                )
            rows = [_row(reader.line_num, values) for values in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not CSV in UTF-8: {error}.") from error
    if not 0 < len(rows) <= _ROWS_MAX:
        raise ConfigurationError(f"{path} holds {len(rows)} rows; 1 to {_ROWS_MAX:,} can be imported.")
    seen: set[tuple[str, str | None, str | None]] = set()
    for place, row in enumerate(rows):
        if (row.external_id, row.asset, row.credit) in seen:
            twice = "this customer and asset stand twice: name each credit in the column credit"
            rows[place] = dataclasses.replace(row, problems=(*row.problems, twice))
        seen.add((row.external_id, row.asset, row.credit))
    return rows


def _row(line: int, values: dict[str, str | None]) -> Row:
    given = {name: (values.get(name) or "").strip() for name in _COLUMNS}
    problems = [f"{name} is empty" for name in _NEEDED if not given[name]]
    if None in values:
        problems.append("it has more fields than columns")
    if given["email"] and not re.fullmatch(r"[^@\s]+@[^@\s]+", given["email"]):
        problems.append(f"{given['email'][:40]!r} is not an e-mail address")
    if given["stripe_customer_id"] and not re.fullmatch(r"cus_[A-Za-z0-9_]+", given["stripe_customer_id"], re.ASCII):
        problems.append(f"{given['stripe_customer_id'][:40]!r} is not a Stripe customer id")
    balance = None
    if bool(given["asset"]) != bool(given["balance"]):
        problems.append("asset and balance go together")
    elif given["balance"]:
        try:
            balance = money.parse(given["balance"], scale=money.SCALE_MAX, field="balance")
        except Refused as refused:
            problems.append(refused.detail)
    begins, ends = (_moment(given, name, problems) for name in ("effective_at", "expires_at"))
    problems += _terms(given, balance)
    return Row(
        line, given["external_id"], given["name"], given["email"] or None, given["stripe_customer_id"] or None,
        given["asset"] or None, balance, given["credit"] or None, given["purpose"] or None, begins, ends,
        tuple(problems),
    )  # fmt: skip


def _moment(given: dict[str, str], name: str, problems: list[str]) -> dt.datetime | None:
    if not given[name]:
        return None
    try:
        moment = dt.datetime.fromisoformat(given[name])
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        problems.append(f"{name} {given[name][:40]!r} is not a time such as 2027-01-31T00:00:00Z")
        return None
    return moment


def _terms(given: dict[str, str], balance: Decimal | None) -> list[str]:
    """What is wrong with the terms of a credit."""
    named = [name for name in ("credit", "purpose", "effective_at", "expires_at") if given[name]]
    if not named:
        return []
    if given["purpose"] and given["purpose"] not in _PURPOSES:
        return [f"purpose {given['purpose'][:40]!r} is none of {', '.join(_PURPOSES)}"]
    if balance is None or (balance < 0 and named != ["credit"]):
        return [f"{', '.join(named)}: only a credit has these, with a balance above zero"]
    return []


async def validate_assets(api: AsyncClient, rows: list[Row]) -> None:
    """Refuses a file that names an asset that does not exist, or more decimals than it has, before anything is sent."""
    scales: dict[str, int] = {}
    wrong = []
    for row in rows:
        if row.asset is None or row.balance is None:
            continue
        try:
            if row.asset not in scales:
                scales[row.asset] = (await api.get_asset(row.asset)).precision
            money.parse(format(row.balance, "f"), scale=scales[row.asset], field="balance")
        except (Problem, Refused) as problem:
            wrong.append(f"line {row.line}: {problem.detail}")
    if wrong:
        raise ConfigurationError(" ".join(wrong[:20]) + " Nothing was imported.")


async def load(api: AsyncClient, rows: list[Row], *, batch: str, dry_run: bool) -> Report:
    """Send every row; one that clashes with what is there is named, and the others go on."""
    report = Report()
    met: dict[str, Customer | None] = {}
    for row in rows:
        try:
            if row.external_id not in met:
                met[row.external_id] = await _customer(api, row, report, dry_run=dry_run)
            if row.asset is not None and row.balance:
                await _balance(api, row, met[row.external_id], report, batch=batch, dry_run=dry_run)
        except Problem as problem:
            report.conflicts.append(f"line {row.line} ({row.external_id}): {problem.detail}")
            met.setdefault(row.external_id, None)
    return report


async def _customer(api: AsyncClient, row: Row, report: Report, *, dry_run: bool) -> Customer | None:
    try:
        found = await api.find_customer(row.external_id)
    except Problem as problem:
        if problem.code != "customer_not_found":
            raise
    else:
        report.known += 1
        return found
    report.created += 1
    if dry_run:
        return None
    try:
        return await api.create_customer(
            name=row.name, external_id=row.external_id, email=row.email, stripe_customer_id=row.stripe_customer_id
        )
    except Problem:
        report.created -= 1
        raise


async def _balance(
    api: AsyncClient, row: Row, customer: Customer | None, report: Report, *, batch: str, dry_run: bool
) -> None:
    assert row.asset is not None
    assert row.balance is not None
    transaction_id = ":".join([batch, row.asset, *([] if row.credit is None else [row.credit])])
    written = None if customer is None else await _written(api, customer.id, transaction_id)
    if written is not None and written != row.balance:
        report.conflicts.append(
            f"line {row.line} ({row.external_id}): {batch!r} brought {written} {row.asset} before, not {row.balance}"
        )
    elif written is not None:
        report.repeated += 1
    elif dry_run:
        report.credited += 1
    elif customer is not None:  # without one, it is among the conflicts
        await api.adjust(
            customer.id, transaction_id=transaction_id, asset=row.asset, amount=row.balance, reason="other",
            description="Imported balance", purpose=row.purpose, effective_at=row.effective_at,
            expires_at=row.expires_at,
        )  # fmt: skip
        report.credited += 1


async def _written(api: AsyncClient, customer_id: str, transaction_id: str) -> Decimal | None:
    """What an earlier run has brought."""
    try:
        return (await api.get_transaction(customer_id, transaction_id)).amount
    except Problem as problem:
        if problem.code != "transaction_not_found":
            raise
        return None
