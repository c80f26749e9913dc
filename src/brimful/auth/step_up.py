"""Step-up: a code by mail before a card or a consent is changed, once in a session for half an hour.

The platform makes the link into the portal, and could open it itself; the code goes to the customer's mailbox. It is
asked for where mail is set up and the customer has an address, and never to turn off.
"""

import datetime as dt
import hashlib
import hmac
import secrets

from brimful import customers
from brimful.auth.portal_sessions import PortalSession
from brimful.core.errors import Refused
from brimful.db.pool import Tx
from brimful.ledger.hash_chain import Keyring

LIFE = dt.timedelta(minutes=30)
CODE_LIFE = dt.timedelta(minutes=10)
_DIGITS = 6
_TRIES_MAX = 5
_CODES_MAX = 5  # to one customer in an hour

_DONE = """
    SELECT 1 AS done FROM portal_sessions WHERE session_id = %s AND stepped_up_at > %s AND stepped_up_for = %s
"""


async def verified(tx: Tx, session: PortalSession, address: str) -> bool:
    """Whether this session has given a code from that mailbox lately. Another address is another mailbox."""
    return await tx.one(_DONE, (session.session_id, await tx.now() - LIFE, _mailbox(address))) is not None


_RECENT = "SELECT count(*) AS n FROM step_up_codes WHERE customer_id = %s AND sent_at > %s"
_BEGIN = """
    INSERT INTO step_up_codes (session_id, sent_at, customer_id, code_hash, expires_at, tries)
    VALUES (%(session_id)s, %(now)s, %(customer_id)s, %(hash)s, %(until)s, 0)
"""


async def send_new_code(tx: Tx, session: PortalSession, keyring: Keyring) -> str:
    """A new code for this session, to be mailed; the one before is worth nothing any more. Refuses too many."""
    await customers.lock(tx, session.customer_id)  # of a hundred at once no more than five are sent
    now = await tx.now()
    recent = await tx.one(_RECENT, (session.customer_id, now - dt.timedelta(hours=1)))
    if recent is not None and recent["n"] >= _CODES_MAX:
        raise Refused("too_many_requests", "Too many codes were sent in the last hour. Try again later.")
    code = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}d}"
    values = {"session_id": session.session_id, "customer_id": session.customer_id, "now": now,
              "hash": _hash(session, code, keyring), "until": now + CODE_LIFE}  # fmt: skip
    await tx.execute(_BEGIN, values)
    return code


# An attempt is counted before it is checked, so that no more than five of a million are, also of many at once.
_TRY = """
    UPDATE step_up_codes SET tries = tries + 1
    WHERE session_id = %(session_id)s AND expires_at > %(now)s AND tries < %(most)s
        AND sent_at = (SELECT max(sent_at) FROM step_up_codes WHERE session_id = %(session_id)s)
    RETURNING code_hash
"""


_TRUST = "UPDATE portal_sessions SET stepped_up_at = %s, stepped_up_for = %s WHERE session_id = %s"


async def verify_code(tx: Tx, session: PortalSession, keyring: Keyring, address: str, code: str) -> bool:
    """Whether the code is right; then the session is trusted for a while, and the code is used up."""
    now = await tx.now()
    row = await tx.one(_TRY, {"session_id": session.session_id, "now": now, "most": _TRIES_MAX})
    given = "".join(char for char in code if not char.isspace())
    if row is None or not hmac.compare_digest(bytes(row["code_hash"]), _hash(session, given, keyring)):
        return False
    await tx.execute("UPDATE step_up_codes SET expires_at = %s WHERE session_id = %s", (now, session.session_id))
    await tx.execute(_TRUST, (now, _mailbox(address), session.session_id))
    return True


def _mailbox(address: str) -> bytes:
    return hashlib.sha256(address.encode("utf-8", "replace")).digest()


def _hash(session: PortalSession, code: str, keyring: Keyring) -> bytes:
    """Keyed from outside the database: who reads it there could try a million codes in a second."""
    return keyring.derive(b"brimful code", f"{session.session_id}:{code}".encode("utf-8", "replace"))[1]
