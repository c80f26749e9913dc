"""Send an e-mail: read the event, compose, hand it to the mail server, record that it was sent.

A job runs this, and tries again for about two days. A server that dies between taking an e-mail and saying so
gets it twice, with the same Message-ID.
"""

import dataclasses
import datetime as dt
import email.message
import email.utils
import logging
import pathlib
import secrets
import urllib.parse
from typing import Any

import aiosmtplib
import jinja2

from brimful import customers, i18n
from brimful.core.ids import CustomerId
from brimful.core.urls import LOOPBACK
from brimful.db.pool import Database, Tx
from brimful.email import templates
from brimful.email.templates import Email, Sources
from brimful.settings.model import PortalSettings

_log = logging.getLogger(__name__)
_TIMEOUT_S = 20
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "layouts"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclasses.dataclass(frozen=True)
class Mailer:
    """The mail server (`smtp://user:password@host:587`, `smtps://host`) and who writes."""

    smtp_url: str
    sender: str
    merchant: str
    public_url: str
    look: PortalSettings


_ADDRESS = "INSERT INTO emails (customer_id, event_id, address, created_at) VALUES (%s, %s, %s, %s)"


async def remember_recipient(tx: Tx, customer_id: CustomerId, event_id: str, address: str) -> None:
    """Send the e-mail of this event to another address than the customer's: to the old one."""
    await tx.execute(_ADDRESS, (customer_id, event_id, address, await tx.now()))


_EVENT = "SELECT type, payload, created_at FROM outgoing_events WHERE event_id = %s AND customer_id = %s"
_EMAIL = "SELECT address, sent_at FROM emails WHERE customer_id = %s AND event_id = %s"
_SENT = """
    INSERT INTO emails (customer_id, event_id, created_at, sent_at) VALUES (%(customer_id)s, %(event_id)s, %(now)s,
        %(now)s)
    ON CONFLICT (customer_id, event_id) DO UPDATE SET sent_at = excluded.sent_at
"""


async def send_for_event(mailer: Mailer, database: Database, customer_id: CustomerId, event_id: str) -> bool:
    """Write to the customer about an event, once. True when an e-mail was handed over now.

    Raises:
        aiosmtplib.SMTPException, OSError: the server did not take it; the job tries again.
    """
    async with database.transaction() as tx:
        event = await tx.one(_EVENT, (event_id, customer_id))
        known = await tx.one(_EMAIL, (customer_id, event_id))
        customer = await customers.get(tx, customer_id)
        address = known["address"] if known is not None and known["address"] else customer.email
        if event is None or address is None or (known is not None and known["sent_at"] is not None):
            return False
        words = i18n.words.speak(i18n.words.choose(customer.locale), customer.time_zone)
        sources = Sources(tx, words, mailer.merchant, mailer.public_url, customer, event["created_at"])
        mail = await templates.compose(sources, event["type"], event["payload"]["data"])
    if mail is None:
        return False
    message = _message(mailer, words, mail, address, event_id)
    if message is None or not await _send(mailer, message):
        return False
    async with database.transaction() as tx:
        await tx.execute(_SENT, {"customer_id": customer_id, "event_id": event_id, "now": await tx.now()})
    return True


async def send_code(mailer: Mailer, words: i18n.words.Words, address: str, code: str, *, at: dt.datetime) -> None:
    """Mail a code, now: somebody waits for it. It is in no event, no job and no log.

    Raises:
        aiosmtplib.SMTPException, OSError: the server did not take it.
    """
    subject = words.t("{code} is your code for {merchant}", code=code, merchant=mailer.merchant)
    text = words.t("Enter it in the billing page that you have open. It is good for ten minutes.")
    warning = words.t("If you did not ask for it, somebody else has a link into your billing: do not pass the code on.")
    mail = Email(at, subject, (text, warning), ((words.t("Code"), code),))
    message = _message(mailer, words, mail, address, f"code.{secrets.token_hex(8)}")
    if message is None or not await _send(mailer, message):
        raise OSError("the address cannot be used")


def _message(
    mailer: Mailer, words: i18n.words.Words, mail: Email, address: str, event_id: str
) -> email.message.EmailMessage | None:
    """Text and HTML, or None for an address that is none."""
    values: dict[str, Any] = {
        "mail": mail, "words": words, "t": words.t, "merchant": mailer.merchant, "look": mailer.look,
        "logo": f"{mailer.public_url}/billing/logo.png" if mailer.look.logo is not None else None,
    }  # fmt: skip
    message = email.message.EmailMessage()
    domain = urllib.parse.urlsplit(mailer.public_url).hostname or "localhost"
    try:
        message["From"] = email.utils.formataddr((mailer.merchant, mailer.sender))
        message["To"] = address
        message["Subject"] = " ".join(mail.subject.split())
        message["Message-ID"] = f"<{event_id}@{domain}>"
        message["Date"] = email.utils.format_datetime(mail.at)
        message["Auto-Submitted"] = "auto-generated"
        addresses = message["To"].addresses
    except (ValueError, IndexError):
        addresses = ()
    if len(addresses) != 1 or "@" not in addresses[0].addr_spec:
        _log.warning("%s: the customer's address cannot be used; no e-mail was sent", event_id)
        return None
    message.set_content(_TEMPLATES.get_template("email.txt").render(values))
    message.add_alternative(_TEMPLATES.get_template("email.html").render(values), subtype="html")
    message["Content-Language"] = words.language  # last: setting the content clears such headers
    return message


async def _send(mailer: Mailer, message: email.message.EmailMessage) -> bool:
    parts = urllib.parse.urlsplit(mailer.smtp_url)
    try:
        await aiosmtplib.send(
            message,
            hostname=parts.hostname,
            port=parts.port,
            username=urllib.parse.unquote(parts.username) if parts.username else None,
            password=urllib.parse.unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            # Elsewhere nothing goes in the clear.
            start_tls=None if parts.scheme == "smtps" or parts.hostname in LOOPBACK else True,
            timeout=_TIMEOUT_S,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        _log.warning("%s: the mail server refuses the address for good: %s", message["Message-ID"], error)
        if all(recipient.code >= 500 for recipient in error.recipients):
            return False
        raise
    return True
