"""Commands to look and to act: verify, doctor, explain, charging, refund, reconcile, simulate, bench."""

import asyncio
import datetime as dt
import hashlib
import json
import pathlib
import sys
from typing import IO, TYPE_CHECKING

import click

from brimful import logs, settings
from brimful.cli.common import DATA, JSON_FILE, as_engine, cli, database_of, ledger_keys_of
from brimful.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from brimful.db import Tx

__all__: list[str] = []

_ACTOR = "command line"


@cli.command()
@click.option("--full", is_flag=True, help="Read every entry, not just those since the last verification.")
@click.option("--anchor", "anchor_file", type=click.File(encoding="utf-8"), help="Compare with an anchor, too.")
@DATA
@JSON_FILE
def verify(full: bool, anchor_file: IO[str] | None, data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """Check every invariant that the database can show."""
    from brimful import anchors
    from brimful import verify as verification

    keyring = settings.ledger_keyring(ledger_keys_of(data))
    with database_of(data) as url:
        findings = asyncio.run(verification.run(url, keyring, full=full))
        if anchor_file is not None:
            findings.append(asyncio.run(anchors.compare(url, keyring, anchor_file)))
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.id:<4} {finding.detail}")
    ok = all(finding.ok for finding in findings)
    if json_file is not None:
        json_file.write_text(json.dumps({"ok": ok, "invariants": [finding.shown() for finding in findings]}, indent=2))
    sys.exit(0 if ok else 1)


@cli.command()
@DATA
def anchor(data: pathlib.Path | None) -> None:
    """Write how far every account's chain reaches, signed, to standard output. Keep it outside, each day."""
    from brimful import anchors

    keyring = settings.ledger_keyring(ledger_keys_of(data))

    async def write(url: str) -> None:
        async for line in anchors.lines(url, keyring):
            click.echo(line, nl=False)

    with database_of(data) as url:
        asyncio.run(write(url))


@cli.command()
@click.option(
    "--before", type=click.DateTime(["%Y-%m-%d"]), help="Usage recorded before this day, UTC, 90 days ago or more."
)
@click.option("--check", is_flag=True, help="Change nothing: read every file of the directory and follow the chains.")
@click.argument("directory", type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@DATA
def archive(before: dt.datetime | None, check: bool, directory: pathlib.Path, data: pathlib.Path | None) -> None:
    """Move old usage from the ledger into a Parquet file in DIRECTORY, below a signed checkpoint."""
    from brimful import archive as archives

    keyring = settings.ledger_keyring(ledger_keys_of(data))
    if check:
        findings = archives.check(directory, keyring)
        for finding in findings:
            click.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.id}  {finding.detail}")
        sys.exit(0 if findings and all(finding.ok for finding in findings) else 1)
    if before is None:
        raise ConfigurationError("Name a day, --before YYYY-MM-DD, or --check what is in the directory.")
    moment = before.replace(tzinfo=dt.UTC)
    with database_of(data) as url:
        asyncio.run(archives.run(url, keyring, before=moment, directory=directory, say=click.echo))


@cli.command()
def distribute() -> None:
    """Spread the database of DATABASE_URL over the nodes of its Citus cluster. Does what is left to do, or nothing."""
    from brimful.db import distribute as spreading

    with database_of(None) as url:
        spreading.distribute(url, click.echo)


@cli.command()
@DATA
@JSON_FILE
def doctor(data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """Look at everything around the product: database, clocks, Stripe's key and webhook, worker, queue, books."""
    from brimful import doctor as examination

    marks = {True: "ok ", False: "BAD", None: "-- "}
    try:
        keys = settings.ledger_keyring(ledger_keys_of(data))
    except ConfigurationError:
        keys = None
    with database_of(data) as url:
        findings = asyncio.run(examination.run(url, settings.stripe_access(), keys))
    for finding in findings:
        click.echo(f"{marks[finding.ok]}  {finding.name:<14} {finding.detail}")
    ill = any(finding.ok is False for finding in findings)
    if json_file is not None:
        json_file.write_text(json.dumps({"ok": not ill, "found": [finding.shown() for finding in findings]}, indent=2))
    sys.exit(1 if ill else 0)


@cli.command()
@click.argument("name", type=click.Choice(["usage", "trigger", "herd", "growth", "memory", "portal", "verify"]))
@JSON_FILE
def bench(name: str, json_file: pathlib.Path | None) -> None:
    """Measure one question beside its reference, in one run on this machine."""
    from brimful import bench as measuring

    result = measuring.run(name)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2))


@cli.group(name="charging")
def charging_group() -> None:
    """Whether payments may be sent."""


@charging_group.command("stop")
@click.option("--reason", required=True, help="Shown to everybody who asks why nothing is charged.")
@DATA
def charging_stop(reason: str, data: pathlib.Path | None) -> None:
    """Send no payment until `start`. Debits go on; top-ups are requested and wait."""
    from brimful import charging

    async def stop(tx: "Tx") -> bool:
        return await charging.hold(tx, "operator", reason, actor=_ACTOR)

    click.echo("Charging is stopped." if as_engine(data, stop) else "Charging was stopped already.")


@charging_group.command("start")
@click.option("--reason", help="For the audit trail.")
@DATA
def charging_start(reason: str | None, data: pathlib.Path | None) -> None:
    """Lift the operator's hold. Holds for other reasons stand on, and are named."""
    from brimful import charging

    async def start(tx: "Tx") -> list[charging.Hold]:
        await charging.lift(tx, "operator", actor=_ACTOR, reason=reason)
        return await charging.holds(tx)

    left = as_engine(data, start)
    for hold in left:
        click.echo(f"still held ({hold.kind}): {hold.reason}")
    goes = "Charging goes on. What waited is sent within a minute."
    click.echo(goes if not left else "Charging is still held.")
    sys.exit(1 if left else 0)


@charging_group.command("show")
@DATA
def charging_show(data: pathlib.Path | None) -> None:
    """Every hold, with its reason."""
    from brimful import charging

    for hold in as_engine(data, charging.holds):
        click.echo(f"held since {hold.since:%Y-%m-%d %H:%M} ({hold.kind}): {hold.reason}")


@cli.command()
@click.argument("customer")
@click.argument("asset")
@DATA
@JSON_FILE
def explain(customer: str, asset: str, data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """Why a customer's rule charges, or does not: the last judgement with every fact behind it.

    CUSTOMER is an id, an external id, a name or an e-mail address.
    """
    from brimful import desk
    from brimful import explain as explaining
    from brimful.auto_topup import Pace

    async def look(tx: "Tx") -> explaining.Explanation | None:
        return await explaining.explain(tx, await desk.find_one(tx, customer), asset.upper(), Pace(*settings.pace()))

    found = as_engine(data, look)
    if found is None:
        raise Refused("not_found", f"{customer} has set no rule for {asset}.")
    shown = found.shown()
    click.echo(shown["explanation"])
    for name, value in shown.items():
        if name != "explanation":
            click.echo(f"  {name:<16} {value if not isinstance(value, dict) else json.dumps(value)}")
    if json_file is not None:
        json_file.write_text(json.dumps(shown, indent=2))


@cli.command()
@click.argument("customer")
@click.argument("top_up")
@click.option("--amount", help="In the top-up's currency; all that is left without it.")
@click.option("--key", help="The same key twice is one refund.")
@DATA
def refund(customer: str, top_up: str, amount: str | None, key: str | None, data: pathlib.Path | None) -> None:
    """Give money of a paid top-up back through Stripe; the worker sends it."""
    from brimful import desk, money, paying, topups

    async def ask(tx: "Tx") -> paying.refunds.Refund:
        customer_id = await desk.find_one(tx, customer)
        found = await topups.get(tx, customer_id, top_up)
        minor = None
        if amount is not None:
            exact = money.positive(money.parse(amount, scale=money.currency(found.currency).exponent))
            minor = money.minor_exact(exact, found.currency)
        refund_id = None if key is None else f"ref_{hashlib.sha256(f'{top_up}:{key}'.encode()).hexdigest()[:32]}"
        return await paying.request_refund(
            tx, customer_id, top_up, amount_minor=minor, actor=_ACTOR, refund_id=refund_id
        )

    made = as_engine(data, ask)
    click.echo(f"{made.refund_id}: {money.major(made.amount_minor, made.currency)} {made.currency}, {made.state}")


@cli.command()
@click.option("--since", type=click.DateTime(), help="UTC; since the last time without it.")
@click.option("--dry-run", is_flag=True, help="Say what would be repaired; change nothing.")
@click.option("--accept", "accepted", multiple=True, help="A payment of a difference to take as it is; needs --reason.")
@click.option("--reason", default="", help="Why, for the audit trail.")
@JSON_FILE
def reconcile(
    since: dt.datetime | None, dry_run: bool, accepted: tuple[str, ...], reason: str, json_file: pathlib.Path | None
) -> None:
    """Compare our books with Stripe's lists and repair what is missing, by keyed entries only."""
    from brimful import deps
    from brimful import reconcile as reconciliation

    config = settings.read()
    logs.begin(config.log_level, config.log_form)

    async def run() -> reconciliation.Report:
        engine = deps.build(config, "brimful_engine")
        if engine.till is None:
            raise ConfigurationError("STRIPE_API_KEY is not set: there is nothing to compare with.")
        await deps.open_deps(engine)
        try:
            async with engine.database.transaction() as tx:
                for payment_id in accepted:
                    await reconciliation.accept(tx, payment_id, reason=reason, actor=_ACTOR)
                begin = await reconciliation.since_last(tx)
            chosen = begin if since is None else since.replace(tzinfo=dt.UTC)
            return await reconciliation.run(engine.till, since=chosen, dry_run=dry_run)
        finally:
            await deps.close(engine)

    try:
        report = asyncio.run(run())
    except ConnectionError as error:
        raise ConfigurationError(str(error)) from error
    for what in report.repaired:
        click.echo(f"{'would repair' if dry_run else 'repaired'}  {what}")
    for what in report.differences:
        click.echo(f"BAD  {what}")
    click.echo(
        f"{report.payments} payments, {report.refunds} refunds, {report.disputes} disputes since "
        f"{report.since:%Y-%m-%d %H:%M}; {report.foreign} foreign"
    )
    if json_file is not None:
        json_file.write_text(json.dumps(report.shown(), indent=2))
    sys.exit(0 if report.ok else 1)


@cli.command()
@click.option("--histories", type=click.IntRange(1, 10_000_000), default=2000, show_default=True)
@click.option("--seed", default="1", show_default=True)
@click.option("--processes", type=click.IntRange(1, 256), help="As many as there are cores without it.")
@JSON_FILE
def simulate(histories: int, seed: str, processes: int | None, json_file: pathlib.Path | None) -> None:
    """Live through seeded histories of debits, cards, faults and time; check every invariant after every step."""
    from brimful import simulation

    result = simulation.simulate(histories=histories, seed=seed, processes=processes)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2))
    click.echo(
        f"{result['histories']:,} histories, {result['steps']:,} steps, {result['faults']:,} faults of "
        f"{sum(1 for count in result['by_fault'].values() if count)} kinds in {result['seconds']} s"
    )
    for violation in result["violations"]:
        click.echo(f"BAD  seed {violation['seed']}: {violation['violation']}; steps {violation['steps']}")
        for line in violation["trail"]:
            click.echo(f"       {line}")
    sys.exit(0 if result["ok"] else 1)
