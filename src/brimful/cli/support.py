"""Support commands: console operators, top-ups, customers, exports."""

import asyncio
import datetime as dt
import functools
import pathlib
import sys
from typing import TYPE_CHECKING, Any

import click

from brimful import settings
from brimful.cli import common
from brimful.cli.common import DATA, JSON_FILE
from brimful.core.errors import Refused

if TYPE_CHECKING:
    from brimful.db.pool import Tx

__all__: list[str] = []

ACTOR = "command line"


@common.cli.group()
def operators() -> None:
    """Who may use the console."""


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")


@operators.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "operator"]), default="viewer", show_default=True,
              help="A viewer looks; an operator acts as well.")  # fmt: skip
@_STDIN
@DATA
def create_operator(name: str, role: Any, password_stdin: bool, data: pathlib.Path | None) -> None:
    """Let somebody into the console. Their second factor is shown once."""
    from brimful.auth import audit, operators

    password = _password(password_stdin)

    async def create(tx: "Tx") -> str:
        secret = await operators.create(
            tx, name=name, role=role, password=password, merchant=settings.environment.merchant()
        )
        await audit.record(tx, actor=ACTOR, action="operator.created", after={"name": name, "role": role})
        return secret

    _show_factor(name, common.as_engine(data, create))


@operators.command("renew")
@click.argument("name")
@_STDIN
@DATA
def renew_operator(name: str, password_stdin: bool, data: pathlib.Path | None) -> None:
    """A new password and a new second factor, for somebody who lost theirs or is locked out."""
    from brimful.auth import audit, operators

    password = _password(password_stdin)

    async def renew(tx: "Tx") -> str:
        secret = await operators.renew(tx, name, password=password, merchant=settings.environment.merchant())
        await audit.record(tx, actor=ACTOR, action="operator.renewed", after={"name": name})
        return secret

    _show_factor(name, common.as_engine(data, renew))


def _show_factor(name: str, secret: str) -> None:
    import segno

    from brimful.auth import operators

    uri = operators.provisioning_uri(name, secret, settings.environment.merchant())
    if sys.stdout.isatty():
        segno.make(uri).terminal(compact=True)
    click.echo(f"Second factor, shown once: {secret}")
    click.echo(uri)


@operators.command("unlock")
@click.argument("name")
@DATA
def unlock_operator(name: str, data: pathlib.Path | None) -> None:
    """Let somebody who is locked out try again at once."""
    from brimful.auth import audit, operators

    async def unlock(tx: "Tx") -> None:
        await operators.unlock(tx, name)
        await audit.record(tx, actor=ACTOR, action="operator.unlocked", after={"name": name})

    common.as_engine(data, unlock)
    click.echo(f"{name} may try again.")


@operators.command("disable")
@click.argument("name")
@DATA
def disable_operator(name: str, data: pathlib.Path | None) -> None:
    """Let somebody in no more; what they have open ends at once."""
    from brimful.auth import audit, operators

    async def disable(tx: "Tx") -> None:
        await operators.disable(tx, name)
        await audit.record(tx, actor=ACTOR, action="operator.disabled", after={"name": name})

    common.as_engine(data, disable)
    click.echo(f"{name} is disabled.")


@operators.command("list")
@DATA
def list_operators(data: pathlib.Path | None) -> None:
    """Everybody, with their role."""
    from brimful.auth import operators

    for one in common.as_engine(data, operators.list_all):
        state = "disabled" if one.disabled_at else "locked" if one.locked_until else "active"
        click.echo(f"{one.name:<30} {one.role:<9} {state:<9} since {one.created_at:%Y-%m-%d}")


# --- top-ups ----------------------------------------------------------------------------------------------------


@common.cli.group("top-ups")
def top_ups_group() -> None:
    """Top-ups of every customer: list, show, retry, cancel."""


@top_ups_group.command("list")
@click.option("--state", "states", multiple=True, help="Such as retry_wait; may be given several times.")
@click.option("--reason", help="Such as insufficient_funds.")
@click.option("--review", is_flag=True, help="Only those that a person should look at.")
@click.option("--live", is_flag=True, help="Only those that have not ended.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@DATA
@JSON_FILE
def list_top_ups(
    states: tuple[str, ...],
    reason: str | None,
    review: bool,
    live: bool,
    limit: int,
    data: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    """The newest first."""
    from brimful import operations, top_ups

    unknown = set(states) - set(top_ups.model.STATES)
    if unknown:
        raise Refused("invalid_field", f"--state is one of {', '.join(top_ups.model.STATES)}.")

    async def find(tx: "Tx") -> list[operations.lookup.TopUpLine]:
        return await operations.lookup.list_top_ups(
            tx, limit=limit, states=states or None, reason=reason, review=review or None, live=live or None
        )

    found = common.as_engine(data, find)
    for line in found:
        mark = "  needs review" if line.needs_review else ""
        common.say(
            f"{line.requested_at:%Y-%m-%d %H:%M:%S}  {line.top_up_id}  {line.state:<15} {line.money:>14}  "
            f"{line.customer_id}  {line.customer_name[:24]:<24} {line.reason or ''}{mark}"
        )
    if not found:
        common.say("None.")
    common.write_json(json_file, [line.shown() for line in found])


@top_ups_group.command("show")
@click.argument("top_up")
@DATA
@JSON_FILE
def show_top_up(top_up: str, data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """One top-up with every payment and refund of it."""
    from brimful import operations

    async def look(tx: "Tx") -> dict[str, Any]:
        return await operations.lookup.describe(tx, await operations.lookup.owner_of(tx, top_up), top_up)

    found = common.as_engine(data, look)
    for name, value in found.items():
        if not isinstance(value, list):
            common.say(f"{name:<16} {'-' if value is None else value}")
    for name in ("payments", "refunds"):
        for row in found[name]:
            common.say(
                f"{name[:-1]:<16} " + "  ".join(f"{key}={value}" for key, value in row.items() if value is not None)
            )
    common.write_json(json_file, found)


@top_ups_group.command("retry")
@click.argument("top_up")
@DATA
def retry_top_up(top_up: str, data: pathlib.Path | None) -> None:
    """Retry a top-up now. Rule, consent, card, decline budget and the month's limit are evaluated again first."""
    from brimful import operations

    async def retry(tx: "Tx") -> None:
        await operations.actions.retry(tx, await operations.lookup.owner_of(tx, top_up), top_up, actor=ACTOR)

    common.as_engine(data, retry)
    click.echo(f"{top_up} is tried again as soon as a worker is free.")


@top_ups_group.command("resolve")
@click.argument("top_up")
@click.option("--note", required=True, help="What you found, for the audit trail.")
@DATA
def resolve_top_up(top_up: str, note: str, data: pathlib.Path | None) -> None:
    """Somebody has looked: close the question. A live one is tried again at once."""
    from brimful import operations

    async def resolve(tx: "Tx") -> None:
        await operations.actions.resolve(
            tx, await operations.lookup.owner_of(tx, top_up), top_up, actor=ACTOR, note=note
        )

    common.as_engine(data, resolve)
    click.echo(f"{top_up}: noted.")


@top_ups_group.command("cancel")
@click.argument("top_up")
@DATA
def cancel_top_up(top_up: str, data: pathlib.Path | None) -> None:
    """Cancel a top-up that only waits. A payment that is open at Stripe is canceled there first.

    An automatic rule rests until the top-up would have been tried again, an hour at least.
    """
    from brimful import operations
    from brimful.auto_top_up.policy import Pace

    async def cancel(tx: "Tx") -> None:
        await operations.actions.cancel(
            tx,
            await operations.lookup.owner_of(tx, top_up),
            top_up,
            actor=ACTOR,
            pace=Pace(*settings.environment.pace()),
        )

    common.as_engine(data, cancel)
    click.echo(f"{top_up} is taken back.")


# --- customers --------------------------------------------------------------------------------------------------


@common.cli.group("customers")
def customers_group() -> None:
    """Customers: show one, erase one."""


@customers_group.command("show")
@click.argument("customer")
@DATA
@JSON_FILE
def show_customer(customer: str, data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """By id, external id, id at Stripe, PaymentIntent, top-up, name or e-mail: balances, rules, cards, top-ups."""
    from brimful import operations
    from brimful.auto_top_up.policy import Pace

    async def look(tx: "Tx") -> dict[str, Any]:
        return await operations.lookup.customer_record(
            tx, await operations.lookup.find_one(tx, customer), Pace(*settings.environment.pace())
        )

    found = common.as_engine(data, look)
    for name, value in found.items():
        if not isinstance(value, list):
            common.say(f"{name:<16} {'-' if value is None else value}")
            continue
        for row in value:
            common.say(f"{name:<16} " + "  ".join(f"{key}={part}" for key, part in row.items() if part is not None))
    common.write_json(json_file, found)


@customers_group.command("sign-out")
@click.argument("customer")
@DATA
def sign_out_customer(customer: str, data: pathlib.Path | None) -> None:
    """End what a customer has open in the portal, and every link that still opens something."""
    from brimful import operations

    async def end(tx: "Tx") -> int:
        return await operations.actions.sign_out(tx, await operations.lookup.find_one(tx, customer), actor=ACTOR)

    click.echo(f"{common.as_engine(data, end)} sessions and links have ended.")


@customers_group.command("erase")
@click.argument("customer")
@click.option("--yes", is_flag=True, help="Do not ask.")
@DATA
def erase_customer(customer: str, yes: bool, data: pathlib.Path | None) -> None:
    """Erase a person's data for good. Balances, entries, payments and the record that consents were given stay.

    Rules are turned off, what waits is taken back, and the cards are let go at Stripe (with STRIPE_API_KEY).
    """
    from brimful import customers, operations
    from brimful.auto_top_up.policy import Pace

    async def found(tx: "Tx") -> customers.Customer:
        return await customers.get(tx, await operations.lookup.find_one(tx, customer))

    one = common.as_engine(data, found)
    if not yes:
        click.confirm(f"Erase {one.customer_id} ({one.name})? It cannot be undone.", abort=True)

    async def erase(tx: "Tx") -> operations.erase.Erased:
        return await operations.erase.erase(tx, one.customer_id, actor=ACTOR, pace=Pace(*settings.environment.pace()))

    async def forget(tx: "Tx") -> None:
        await operations.erase.forget_answers(tx, one.customer_id)

    erased = common.as_owner(data, erase)
    common.as_owner(data, forget)
    click.echo(f"{one.customer_id} is erased.")
    left = _let_go(erased.payment_methods, erased.checkout_sessions)
    if left:
        click.echo(f"Still at Stripe: {', '.join(left)}. Set STRIPE_API_KEY and run this again.")
    if erased.stripe_customer_id is not None:
        click.echo(f"The customer {erased.stripe_customer_id} at Stripe is yours to erase there.")
    sys.exit(1 if left else 0)


def _let_go(methods: list[str], sessions: list[str]) -> list[str]:
    """Close pages and detach cards at Stripe; the cards that are there still."""
    access = settings.environment.stripe_access()
    if access.key is None:
        return methods

    async def run(key: str) -> list[str]:
        from brimful.gateway.gateway import FailureKind
        from brimful.gateway.stripe.adapter import StripeGateway

        gateway = StripeGateway(key, url=access.url)
        try:
            for session in sessions:
                await gateway.expire_checkout(session)
            failures = {method: await gateway.detach_card(method) for method in methods}
        finally:
            await gateway.close()
        # What Stripe refuses is no longer attached.
        return [method for method, failure in failures.items() if failure and failure.kind is not FailureKind.REFUSED]

    return asyncio.run(run(access.key))


@common.cli.command()
@click.argument("what", type=click.Choice(["customers", "entries", "top-ups", "payments", "refunds", "disputes",
                                           "consents", "audit", "credits"]))  # fmt: skip
@click.option("--since", type=click.DateTime(), help="UTC.")
@click.option("--until", type=click.DateTime(), help="UTC; up to, not with it.")
@click.option("--customer", help="Of this customer alone.")
@click.option("--form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True)
@DATA
def export(
    what: str,
    since: dt.datetime | None,
    until: dt.datetime | None,
    customer: str | None,
    form: Any,
    data: pathlib.Path | None,
) -> None:
    """Write the books, or all that is known of a customer, to standard output. Money is in minor units."""
    from brimful import operations

    if customer is not None:
        customer = common.as_engine(data, functools.partial(operations.lookup.find_one, text=customer))
    wanted = operations.export.Wanted(
        what, None if since is None else since.replace(tzinfo=dt.UTC),
        None if until is None else until.replace(tzinfo=dt.UTC), customer,
    )  # fmt: skip

    async def run(url: str) -> None:
        async for line in operations.export.lines(url, wanted, form):
            click.echo(line, nl=False)

    with common.database_of(data) as url:
        asyncio.run(run(url))
