"""The page between a form and what it changes: a code by mail, with the form kept behind it."""

import smtplib

import aiosmtplib
from starlette.responses import Response

from brimful import customers, email
from brimful.auth import step_up
from brimful.core.errors import Refused
from brimful.portal import error_messages, presenters
from brimful.portal.context import Page

_OURS = ("step_up_code", "step_up_again")


async def interposed(page: Page) -> Response | None:
    """What is shown instead of doing what a form asks for, or None when it may be done."""
    mailer = page.deps.mailer
    if mailer is None:
        return None
    async with page.deps.database.transaction() as tx:
        address = (await customers.get(tx, page.session.customer_id)).email
        if address is None or await step_up.verified(tx, page.session, address):
            return None
    given = page.field("step_up_code")
    if given and not page.field("step_up_again"):
        async with page.deps.database.transaction() as tx:
            right = await step_up.verify_code(tx, page.session, page.deps.keyring, address, given)
        if right:
            return None
        wrong = page.words.t("This code is wrong or has expired. Check it, or send a new one.")
        return _show(page, address, wrong, status=422)
    return await _send(page, mailer, address)


async def _send(page: Page, mailer: email.send.Mailer, address: str) -> Response:
    try:
        async with page.deps.database.transaction() as tx:
            code, now = await step_up.send_new_code(tx, page.session, page.deps.keyring), await tx.now()
        await email.send.send_code(mailer, page.words, address, code, at=now)
    except Refused as refused:
        return _show(page, address, error_messages.text(page.words, refused), status=refused.status)
    except (aiosmtplib.SMTPException, smtplib.SMTPException, OSError):
        problem = page.words.t("The code could not be sent at the moment. Nothing was changed; try again in a minute.")
        return _show(page, address, problem, status=503)
    return _show(page, address, None, status=200)


def _show(page: Page, address: str, problem: str | None, *, status: int) -> Response:
    """The code's field, and the form as it was filled in."""
    assert page.form is not None
    kept = [(name, value) for name, value in page.form.multi_items() if name not in {*_OURS, "csrf"}]
    values = {"kept": kept, "address": presenters.masked(address), "problem": problem}
    return page.show("step_up.html", values, status=status)
