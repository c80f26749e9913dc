"""Links into the portal and the sessions they open.

A link carries 256 random bits and is stored hashed. A portal link opens once, within ten minutes; a
payment link opens one top-up, for 24 hours; a turn-off link, which receipts carry, can do nothing but turn
one rule off, for 60 days. Opening the page does not consume it (mail scanners do that),
its button does. A `PortalSession` is the customer's own hand: functions that write rules, cards or
consents take one, and only `load` (from the cookie) makes it.
"""

import dataclasses
import datetime as dt
import hashlib
from typing import Literal

from brimful import customers
from brimful.core import ids
from brimful.core.errors import Refused
from brimful.core.ids import CustomerId
from brimful.db.pool import Row, Tx

PORTAL_LINK_LIFE = dt.timedelta(minutes=10)
PAYMENT_LINK_LIFE = dt.timedelta(hours=24)
TURN_OFF_LINK_LIFE = dt.timedelta(days=60)
SESSION_IDLE = dt.timedelta(minutes=30)
SESSION_LIFE = dt.timedelta(hours=4)

Flow = Literal["overview", "top_up", "auto_top_up", "cards", "pay", "turn_off"]
Kind = Literal["portal", "payment", "turn_off"]


@dataclasses.dataclass(frozen=True)
class Link:
    """A way in, as the platform hands it on. The token is not stored and not shown again."""

    token: str
    expires_at: dt.datetime


@dataclasses.dataclass(frozen=True)
class PortalSession:
    """One customer at the portal. `kind` payment sees one top-up and nothing else; turn_off can turn off the rule of
    `asset` and nothing else.
    """

    session_id: str
    customer_id: CustomerId
    kind: Kind
    top_up_id: str | None
    return_url: str | None
    failure_url: str | None
    flow: Flow
    asset: str | None
    csrf: str
    customer_name: str
    time_zone: str
    locale: str | None = None
    address: str | None = None
    agent: str | None = None


_INSERT_LINK = """
    INSERT INTO portal_links (link_id, customer_id, kind, top_up_id, token_hash, return_url, failure_url, flow,
        asset, locale, created_at, expires_at)
    VALUES (%(link_id)s, %(customer_id)s, %(kind)s, %(top_up_id)s, %(token_hash)s, %(return_url)s, %(failure_url)s,
        %(flow)s, %(asset)s, %(locale)s, %(now)s, %(expires_at)s)
"""
# Links and sessions are not customer data: where it is distributed they are on another node, and are read apart.
_WHOSE = "SELECT name, time_zone FROM customers WHERE customer_id = %s AND erased_at IS NULL"


async def create_link(
    tx: Tx,
    customer_id: CustomerId,
    *,
    top_up_id: str | None = None,
    return_url: str | None = None,
    failure_url: str | None = None,
    flow: Flow = "overview",
    asset: str | None = None,
    locale: str | None = None,
    token: str | None = None,
) -> Link:
    """A link to the portal; with `top_up_id` to that one payment; with the flow turn_off to that one act. Its secret
    is `token`, of 256 bits, or a new one.
    """
    now = await tx.now()
    token = token or ids.secret()
    kind: Kind = "turn_off" if flow == "turn_off" else "portal" if top_up_id is None else "payment"
    life = {"portal": PORTAL_LINK_LIFE, "payment": PAYMENT_LINK_LIFE, "turn_off": TURN_OFF_LINK_LIFE}[kind]
    if await tx.one(_WHOSE, (customer_id,)) is None:
        raise Refused("customer_erased", "This customer was erased: no link can be made.")
    await tx.execute(
        _INSERT_LINK,
        {
            "link_id": ids.new("ses"),
            "customer_id": customer_id,
            "kind": kind,
            "top_up_id": top_up_id,
            "token_hash": _hash(token),
            "return_url": return_url,
            "failure_url": failure_url,
            "flow": flow if top_up_id is None else "pay",
            "asset": asset,
            "locale": locale,
            "now": now,
            "expires_at": now + life,
        },
    )
    return Link(token, now + life)


_PEEK = """
    SELECT customer_id, kind, locale FROM portal_links WHERE token_hash = %s AND used_at IS NULL AND expires_at > %s
"""


@dataclasses.dataclass(frozen=True)
class Opens:
    """A link that still opens."""

    kind: Kind
    locale: str | None


async def peek(tx: Tx, token: str) -> Opens | None:
    """What the link opens, or None when it has expired. Changes nothing."""
    row = await tx.one(_PEEK, (_hash(token), await tx.now()))
    if row is None or await tx.one(_WHOSE, (row["customer_id"],)) is None:
        return None
    return Opens(row["kind"], row["locale"])


# A portal link is used up in this one statement: of a hundred parallel exchanges one sees a row.
_USE = """
    UPDATE portal_links SET used_at = CASE kind WHEN 'portal' THEN %(now)s ELSE used_at END
    WHERE token_hash = %(token_hash)s AND used_at IS NULL AND expires_at > %(now)s
    RETURNING link_id, customer_id, kind, top_up_id
"""
_INSERT_SESSION = """
    INSERT INTO portal_sessions (session_id, link_id, customer_id, kind, top_up_id, cookie_hash, created_at, seen_at,
        expires_at, locale)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


async def exchange(tx: Tx, token: str, *, locale: str) -> str:
    """Use the link: a new session under a fresh id, in this language. Returns the cookie's value; refuses a link
    that has expired.
    """
    now = await tx.now()
    link = await tx.one(_USE, {"token_hash": _hash(token), "now": now})
    if link is None or await tx.one(_WHOSE, (link["customer_id"],)) is None:
        raise Refused("link_expired", "This link has expired or was already used. Go back and open billing again.")
    cookie = ids.secret()
    await tx.execute(
        _INSERT_SESSION,
        (
            ids.new("ses"), link["link_id"], link["customer_id"], link["kind"], link["top_up_id"], _hash(cookie), now,
            now, now + SESSION_LIFE, locale,
        ),
    )  # fmt: skip
    await customers.set_locale(tx, link["customer_id"], locale)
    return cookie


async def set_locale(tx: Tx, session: PortalSession, locale: str) -> None:
    """Set the customer's language, for the portal and for e-mails."""
    await tx.execute("UPDATE portal_sessions SET locale = %s WHERE session_id = %s", (locale, session.session_id))
    await customers.set_locale(tx, session.customer_id, locale)


_LOAD = """
    UPDATE portal_sessions AS s SET seen_at = CASE WHEN %(touch)s THEN %(now)s ELSE s.seen_at END
    FROM portal_links AS l
    WHERE s.cookie_hash = %(cookie_hash)s AND s.revoked_at IS NULL AND s.expires_at > %(now)s
        AND s.seen_at > %(idle_since)s AND l.link_id = s.link_id
    RETURNING s.session_id, s.customer_id, s.kind, s.top_up_id, l.return_url, l.failure_url, l.flow, l.asset, s.locale
"""


async def load(
    tx: Tx, cookie: str, *, address: str | None, agent: str | None, touch: bool = True
) -> PortalSession | None:
    """The session behind a cookie, or None when it ended. This is where a PortalSession comes from.

    Without `touch` it does not count as a visit: a page left open must not keep its session alive.
    """
    now = await tx.now()
    values = {"cookie_hash": _hash(cookie), "now": now, "idle_since": now - SESSION_IDLE, "touch": touch}
    row: Row | None = await tx.one(_LOAD, values)
    whose = None if row is None else await tx.one(_WHOSE, (row["customer_id"],))
    if row is None or whose is None:
        return None
    who = {"customer_name": whose["name"], "time_zone": whose["time_zone"]}
    return PortalSession(**row, **who, csrf=_csrf(cookie), address=address, agent=agent)


_STILL_OPEN = """
    SELECT 1 FROM portal_sessions
    WHERE session_id = %s AND revoked_at IS NULL AND expires_at > %s AND seen_at > %s
"""


async def still_open(tx: Tx, session: PortalSession) -> bool:
    """Whether the session has neither ended nor idled out. Does not count as a visit."""
    now = await tx.now()
    return await tx.one(_STILL_OPEN, (session.session_id, now, now - SESSION_IDLE)) is not None


async def end(tx: Tx, session: PortalSession) -> None:
    """Sign out."""
    await tx.execute(
        "UPDATE portal_sessions SET revoked_at = %s WHERE session_id = %s", (await tx.now(), session.session_id)
    )


_END_SESSIONS = """
    UPDATE portal_sessions SET revoked_at = %(now)s
    WHERE customer_id = %(customer_id)s AND revoked_at IS NULL AND expires_at > %(now)s
"""
_END_LINKS = """
    UPDATE portal_links SET expires_at = %(now)s
    WHERE customer_id = %(customer_id)s AND used_at IS NULL AND expires_at > %(now)s
"""


async def end_all(tx: Tx, customer_id: CustomerId) -> int:
    """End all that a customer has open, and every link that still opens something. Returns how many. Runs under the
    engine's role.
    """
    values = {"customer_id": customer_id, "now": await tx.now()}
    return await tx.execute(_END_SESSIONS, values) + await tx.execute(_END_LINKS, values)


_KEPT = dt.timedelta(days=30)
_FORGET = (
    "DELETE FROM portal_sessions WHERE expires_at < %(before)s",  # with the codes that were sent in it
    """
    DELETE FROM portal_links AS l WHERE l.expires_at < %(before)s
        AND NOT EXISTS (SELECT 1 FROM portal_sessions AS s WHERE s.link_id = l.link_id)
    """,
)


async def delete_expired(tx: Tx) -> None:
    """Sessions and links are not kept once they have been over for thirty days. Runs under the engine's role."""
    before = await tx.now() - _KEPT
    for statement in _FORGET:
        await tx.execute(statement, {"before": before})


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _csrf(cookie: str) -> str:
    """Bound to the session by its cookie, so nothing more is stored."""
    return hashlib.blake2b(cookie.encode(), person=b"brimful csrf", digest_size=24).hexdigest()
