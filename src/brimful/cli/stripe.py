"""Commands about the account at Stripe."""

import asyncio
import sys

import click

from brimful import settings
from brimful.cli import common
from brimful.core.errors import ConfigurationError

__all__: list[str] = []


@common.cli.group()
def stripe() -> None:
    """The account at Stripe: the webhook, the key, what is left to do before going live."""


@stripe.command()
@click.option("--public-url", help="Where customers and Stripe reach this installation; BRIMFUL_PUBLIC_URL without it.")
@click.option("--renew", is_flag=True, help="Make a second endpoint, for a secret that was lost or is to be changed.")
def setup(public_url: str | None, renew: bool) -> None:
    """Make or mend the webhook endpoint, check the key's permissions, and say what is left before going live.

    Safe to repeat. The endpoint's secret is shown once, when it is made; with --renew there are two for a while: set
    both secrets, restart the API, then delete the old endpoint in the Dashboard.
    """
    from brimful.gateway.gateway import Failure
    from brimful.gateway.stripe.account import Account, Endpoint

    access = settings.environment.stripe_access(public_url=public_url)
    if access.key is None:
        raise ConfigurationError("STRIPE_API_KEY is not set: give a restricted key, or a test key to try it.")
    if access.live and not access.public_url.startswith("https://"):
        raise ConfigurationError(f"With a live key Stripe sends to https only: {access.public_url} is not.")

    async def run() -> tuple[list[str] | Failure, Endpoint | Failure | None, str]:
        account = Account(access.key or "", url=access.url)
        try:
            missing = await account.missing_permissions()
            endpoints = await account.endpoints()
            if isinstance(endpoints, Failure):
                return missing, endpoints, ""
            mine = sorted((one for one in endpoints if one.url == access.webhook_url), key=lambda one: not one.enabled)
            ours = next(iter(mine), None)  # one that is enabled, if there is one: another's secret is not known here
            if ours is None or renew:
                return missing, await account.create_endpoint(access.webhook_url), "made"
            if ours.missing or not ours.enabled:
                return missing, await account.mend_endpoint(ours), "mended"
            return missing, ours, "as it should be"
        finally:
            await account.close()

    missing, endpoint, done = asyncio.run(run())
    ok = _say_key(missing)
    ok = _say_endpoint(access, endpoint, done) and ok
    _say_rest(access)
    sys.exit(0 if ok else 1)


def _say(ok: bool | None, text: str) -> None:
    mark = {True: "ok  ", False: "BAD ", None: "you "}[ok]
    click.echo(f"{mark} {text}")


def _say_key(missing: object) -> bool:
    if not isinstance(missing, list):
        _say(False, f"the key: {getattr(missing, 'message', missing)}")
        return False
    for name in missing:
        _say(False, f"the key lacks {name}: add it in the Dashboard under Developers, API keys")
    if not missing:
        _say(True, "the key has every permission that Brimful needs")
    return not missing


def _say_endpoint(access: settings.environment.StripeAccess, endpoint: object, done: str) -> bool:
    from brimful.gateway.stripe.account import Account, Endpoint

    if not isinstance(endpoint, Endpoint):
        _say(False, f"the webhook endpoint: {getattr(endpoint, 'message', endpoint)}")
        click.echo(f"     Make it in the Dashboard: {access.webhook_url}, API version {Account.version}, or add the")
        click.echo("     permission Webhook Endpoints: write to the key while you run this.")
        return False
    current = endpoint.api_version in {None, Account.version}
    _say(current, f"the webhook endpoint {endpoint.endpoint_id} is {done}: {len(endpoint.events)} kinds of events")
    if not current:
        click.echo(
            f"     It sends version {endpoint.api_version}, we read {Account.version}: delete it and run this again."
        )
    if endpoint.secret is not None:
        click.echo(f"     Its secret, shown once: STRIPE_WEBHOOK_SECRET={endpoint.secret}")
    return current


def _say_rest(access: settings.environment.StripeAccess) -> None:
    """What only a person can do or decide."""
    if not access.live:
        _say(None, "this is a test key: run it again with the live one")
    elif (access.key or "").startswith("sk_"):
        _say(None, "use a restricted key (rk_live_) with the permissions of docs/operate/stripe.md")
    if not access.webhook_secrets:
        _say(None, "set STRIPE_WEBHOOK_SECRET and restart the API; if it was lost, run this with --renew")
    for text in (
        "in the Dashboard: business name and statement descriptor are what customers should read on their statement",
        "in the Dashboard: e-mails for successful payments, if Stripe is to send its own receipts",
        "in Radar: no rule that asks for 3-D Secure on every payment; off-session charges would all be declined",
        "tax and invoices: see docs/operate/tax.md for who does what",
        "then `brimful doctor`, with the worker's environment",
    ):
        _say(None, text)
