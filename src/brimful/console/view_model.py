"""What a page of the console holds: facts, tables, acts. One template shows them all."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Literal

from brimful.console import words
from brimful.core import money
from brimful.settings.model import Settings
from brimful.settings.values import LIVE_KEYS
from brimful.suspensions.store import Suspension

Tone = Literal["good", "bad", "warn", "soft"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """A text, where it leads, and how it is meant."""

    text: str
    href: str | None = None
    tone: Tone | None = None
    away: str | None = None  # an address of somebody else's, such as Stripe's dashboard


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under a title. `more` leads to the next page."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence["Cell | Act | str"]]
    empty: str = "None."
    more: str | None = None


@dataclasses.dataclass(frozen=True)
class Sign:
    """A figure with what it counts."""

    label: str
    value: Cell | str


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of a form; with `options` a choice."""

    name: str
    label: str
    value: str = ""
    options: Sequence[str] = ()
    required: bool = False


@dataclasses.dataclass(frozen=True)
class Act:
    """A button that does something, with what it needs to know. It is shown to those who may press it."""

    action: str
    label: str
    fields: Sequence[Field] = ()
    hint: str = ""
    key: str = ""  # of a form that must not count twice, however often it is sent
    confirmed: str = ""  # what the page before has shown, and this button says


@dataclasses.dataclass(frozen=True)
class View:
    """A page. `signs` are the figures to see first; `filters` is a form that narrows it, sent by GET."""

    title: str
    here: str
    facts: Sequence[tuple[str, Cell | str]] = ()
    tables: Sequence[Table] = ()
    acts: Sequence[Act] = ()
    filters: Sequence[Field] = ()
    note: str = ""
    signs: Sequence[Sign] = ()


def moment(at: dt.datetime | None) -> str:
    """A time as operators compare it with a log: UTC, to the second."""
    return "" if at is None else at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def suspended(one: Suspension) -> str:
    """Why nothing is charged, in a sentence."""
    return f"Charging is suspended since {moment(one.since)} by {words.who(one.actor)} ({one.kind}): {one.reason}"


def at_stripe(object_id: str | None, config: Settings) -> Cell | str:
    """An object's id, leading to it in Stripe's dashboard; alone where there is none, beside the sandbox."""
    kinds = {"pi": "payments", "cus": "customers", "dp": "disputes", "du": "disputes"}
    kind = kinds.get((object_id or "").partition("_")[0])
    if object_id is None or kind is None or config.sandbox:
        return object_id or ""
    mode = "" if (config.stripe_key or "").startswith(LIVE_KEYS) else "test/"
    return Cell(object_id, away=f"https://dashboard.stripe.com/{mode}{kind}/{object_id}")


def cash(minor: int, currency: str) -> str:
    """Money with its currency."""
    return f"{money.text(money.major(minor, currency))} {currency}"
