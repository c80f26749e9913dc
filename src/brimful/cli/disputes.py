"""Disputes: the evidence for one, and its submission by a person."""

import asyncio
import pathlib
import sys
from typing import TYPE_CHECKING

import click

from brimful import settings
from brimful.cli import common
from brimful.cli.common import DATA, JSON_FILE

if TYPE_CHECKING:
    from brimful.db.pool import Tx
    from brimful.operations.evidence import Evidence

ACTOR = "command line"


@common.cli.command("evidence")
@click.argument("dispute")
@click.option("--submit", is_flag=True, help="Submit it to Stripe, which takes evidence once.")
@click.option("--yes", is_flag=True, help="Do not ask before submitting.")
@DATA
@JSON_FILE
def evidence(dispute: str, submit: bool, yes: bool, data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """What the books hold against a dispute: the consent as shown, the card, notices, the receipt, usage since.

    Read it first. With --submit it goes to Stripe (STRIPE_API_KEY), under your name.
    """
    from brimful import operations

    portal = settings.environment.portal()
    policy = operations.evidence.Policy(settings.environment.merchant(), portal.terms_url, portal.undo_hours)

    async def gather(tx: "Tx") -> "Evidence":
        return await operations.evidence.gather(tx, dispute, policy)

    found = common.as_owner(data, gather)
    due = "unknown" if found.due_at is None else f"{found.due_at:%Y-%m-%d %H:%M} UTC"
    common.say(f"{found.dispute_id}  {found.status}  {found.reason or ''}  evidence due {due}")
    for name, text in found.fields.items():
        common.say(f"\n{name}\n{text}")
    common.write_json(json_file, operations.evidence.shown(found))
    if not submit:
        return
    if not yes:
        click.confirm("Submit this to Stripe? It can be submitted once.", abort=True)
    failure = asyncio.run(_submit(found))
    if failure is not None:
        click.echo(f"Not submitted: {failure}", err=True)
        sys.exit(1)

    async def note(tx: "Tx") -> None:
        from brimful.auth import audit

        after = {"dispute_id": found.dispute_id, "fields": sorted(found.fields)}
        await audit.record(
            tx, actor=ACTOR, action="dispute.evidence_submitted", customer_id=found.customer_id, after=after
        )

    common.as_engine(data, note)
    common.say("\nSubmitted. The bank decides; its decision arrives as an event.")


async def _submit(found: "Evidence") -> str | None:
    """Why it was not submitted; None where it was."""
    from brimful.gateway.gateway import Failure
    from brimful.gateway.stripe.adapter import StripeGateway

    access = settings.environment.stripe_access()
    if access.key is None:
        return "STRIPE_API_KEY is not set."
    gateway = StripeGateway(access.key, url=access.url)
    try:
        answer = await gateway.submit_evidence(found.dispute_id, key=found.key, fields=found.fields)
    finally:
        await gateway.close()
    return (answer.message or answer.code or "Stripe did not answer.") if isinstance(answer, Failure) else None
