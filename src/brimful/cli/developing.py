"""Commands for the platform's developers: listen, trigger, replay, seed, import. They speak to the API, as a platform
does.
"""

import asyncio
import datetime as dt
import functools
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from brimful import settings
from brimful.cli import common
from brimful.core.errors import ConfigurationError
from brimful_client.client import AsyncClient
from brimful_client.errors import ApiError

__all__: list[str] = []

_URL = "http://127.0.0.1:8000"


def _platform(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say which API is spoken to, and with which key; the command gets a URL and a key."""

    @click.option("--url", envvar="BRIMFUL_URL", default=_URL, show_default=True, help="Where the API is.")
    @click.option("--key", help="API key; BRIMFUL_API_KEY, or the one of --data, without it.")
    @click.option(
        "--data", type=click.Path(path_type=pathlib.Path), default=pathlib.Path(".brimful"), show_default=True,
        help="Data directory of a `brimful up`, for its key.",
    )  # fmt: skip
    @functools.wraps(command)
    def with_key(*positional: Any, key: str | None, data: pathlib.Path, **named: Any) -> None:
        found = key or settings.environment.preset_api_key() or _key_of(data)
        try:
            command(*positional, key=found, **named)
        except ApiError as error:
            raise ConfigurationError(str(error)) from error

    return with_key


def _key_of(data: pathlib.Path) -> str:
    from brimful import runtime

    directory = runtime.embedded_postgres.DataDirectory(data)
    try:
        directory.open(version=settings.environment.embedded_version(), create=False)
    except ConfigurationError:
        raise ConfigurationError("Give an API key: --key, BRIMFUL_API_KEY, or --data DIR of a `brimful up`.") from None
    return directory.secrets()["api_key"]


@common.cli.command()
@click.option("--forward-to", help="Your own endpoint, such as http://127.0.0.1:3000/hooks; just print without it.")
@click.option("--topic", "topics", multiple=True, help="Only these; everything without it.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many events.")
@_platform
def listen(url: str, key: str, forward_to: str | None, topics: tuple[str, ...], count: int | None) -> None:
    """Show events as they are sent, and forward them unchanged to a URL of your own. For a server on this machine."""
    from brimful.cli import listening

    if forward_to is not None and not forward_to.startswith(("http://", "https://")):
        raise click.UsageError(f"--forward-to needs http:// or https://: {forward_to!r} has neither.")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await listening.listen_until(
            stop, url, key, forward_to=forward_to, topics=topics or ("*",), count=count, say=click.echo
        )

    asyncio.run(run())


@common.cli.command()
@click.argument("topic", required=False)
@_platform
def trigger(url: str, key: str, topic: str | None) -> None:
    """Make an event happen: a sample customer does in the sandbox what causes it. Lists the topics without one."""
    from brimful.dev.demo import scenes

    if topic is None:
        for name, scene in scenes.SCENES.items():
            click.echo(f"{name:<28} {(scene.__doc__ or '').splitlines()[0]}")
        return
    if topic not in scenes.SCENES:
        raise click.UsageError(f"No scene causes {topic!r}: choose from {', '.join(scenes.SCENES)}.")

    async def run() -> str:
        async with AsyncClient(url, key) as api:
            return await scenes.SCENES[topic](api, url)

    click.echo(f"{topic} of {asyncio.run(run())}")


@common.cli.command()
@click.argument("event_id", required=False)
@click.option("--webhook", "webhook_id", help="To this endpoint alone.")
@click.option("--since", type=click.DateTime(), help="UTC; everything since then that --webhook has not got.")
@_platform
def replay(url: str, key: str, event_id: str | None, webhook_id: str | None, since: dt.datetime | None) -> None:
    """Send an event again, or everything that an endpoint has missed."""
    if (event_id is None) == (since is None) or (since is not None and webhook_id is None):
        raise click.UsageError("Name an event, or --webhook with --since.")

    async def run() -> int:
        async with AsyncClient(url, key) as api:
            if event_id is not None:
                return (await api.replay_event(event_id, webhook_id=webhook_id)).queued
            assert webhook_id is not None
            assert since is not None
            return (await api.replay_missed(webhook_id, since=since.replace(tzinfo=dt.UTC))).queued

    click.echo(f"{asyncio.run(run())} deliveries queued")


@common.cli.command()
@click.option("--customers", type=click.IntRange(1, 1000), default=5, show_default=True)
@_platform
def seed(url: str, key: str, customers: int) -> None:
    """Sample customers in the sandbox: balances, saved cards, rules that are on."""
    from brimful.core import ids
    from brimful.dev.demo import cast

    async def run() -> list[cast.Customer]:
        players = cast.cast_parts(customers, cast.SEED)
        async with AsyncClient(url, key) as api:
            await cast.set_up(api)
            await cast.prepare(api, url, players, f"seed-{ids.new('evt')[-8:]}", lambda: None)
        return players

    for player in asyncio.run(run()):
        click.echo(f"{player.customer_id}  {player.name:<14} {', '.join(player.assets)}")


@common.cli.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path))
@click.option("--batch", default="import", show_default=True, help="Balances are keyed by it: the same one adds once.")
@click.option("--dry-run", is_flag=True, help="Validate every row and say what would happen; change nothing.")
@_platform
def import_(url: str, key: str, file: pathlib.Path, batch: str, dry_run: bool) -> None:
    """Customers, balances and Stripe customer ids from CSV: external_id,name,email,stripe_customer_id,asset,balance.

    Run it again after a failure: what is there already is recognised. Cards are not imported: each needs its customer's
    consent, in the portal.
    """
    from brimful.cli import importing

    rows = importing.read(file)
    wrong = [f"line {row.line}: {problem}" for row in rows for problem in row.problems]
    if wrong:
        raise ConfigurationError("; ".join(wrong[:20]) + ". Nothing was imported.")

    async def run() -> importing.Report:
        async with AsyncClient(url, key) as api:
            await importing.validate_assets(api, rows)
            return await importing.load(api, rows, batch=batch, dry_run=dry_run)

    report = asyncio.run(run())
    for line in report.conflicts:
        click.echo(f"BAD  {line}")
    would = "would be " if dry_run else ""
    click.echo(
        f"{report.created} customers {would}created, {report.known} known; {report.credited} balances {would}credited, "
        f"{report.repeated} known"
    )
    if report.conflicts:
        sys.exit(1)


@common.cli.command()
@click.option(
    "--trace", "given", type=click.Path(path_type=pathlib.Path), multiple=True,
    help="CSV: TIMESTAMP,ContextTokens,GeneratedTokens; may be given several times.",
)  # fmt: skip
@click.option("--speed", type=click.FloatRange(min=0.01, max=1000), help="Just this one.  [default: 1, 1/4 and 1/24]")
@click.option("--soft", type=click.FloatRange(0, 50), default=0.0, show_default=True, help="Percent of tries declined.")
@click.option("--hard", type=click.FloatRange(0, 50), default=0.0, show_default=True, help="Percent declined for good.")
@click.option(
    "--page", type=click.Path(path_type=pathlib.Path), help="Write backtest.md and its plots into this folder."
)
@common.JSON_FILE
def backtest(
    given: tuple[pathlib.Path, ...],
    speed: float | None,
    soft: float,
    hard: float,
    page: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    """Run rules over past usage: how long each leaves its accounts dry, and how much money it keeps idle."""
    from brimful.dev import backtest as tests, traces

    found: list[tuple[str, traces.Trace | traces.Generated]] = [(path.stem, traces.Trace(path)) for path in given]
    found = found or [("generated", traces.Generated(6000, tests.run.SEED))]
    for _, trace in found:
        next(iter(trace))  # a file that cannot be used is named before anything is run
    speeds = tests.sources.SLOWER if speed is None else (1 / speed,)
    payments = tests.engine.Payments(soft=soft / 100, hard=hard / 100)
    result = tests.run.run(found, speeds=speeds, payments=payments)
    common.write_json(json_file, result)
    if page is not None:
        common.say(f"written: {tests.page.write(result, page)}")
    for trace in result["traces"]:
        common.say(f"\n{trace['name']}: {trace['accounts']} accounts, {trace['days']:g} days")
        common.say(f"  {'rule':<44} {'minutes dry':>12} {'idle':>10} {'charges':>9} {'largest day':>12}")
        for row in [*trace["rules"], *trace["references"]]:
            common.say(
                f"  {row['name']:<44} {row['minutes_dry']:>12,.1f} {row['idle_mean']:>10,.0f} {row['charges']:>9,} "
                f"{row['largest_day']:>12,.2f}"
            )
    sys.exit(0 if result["ok"] else 1)
