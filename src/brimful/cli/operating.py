"""Commands to look and to act: verify, doctor, explain, charging, refund, reconcile, simulate, bench."""

import asyncio
import datetime as dt
import hashlib
import json
import pathlib
import sys
from typing import IO, TYPE_CHECKING

import click

from brimful import observability, settings, suspensions
from brimful.cli import common
from brimful.cli.common import DATA, JSON_FILE
from brimful.core.errors import ConfigurationError, Refused

if TYPE_CHECKING:
    from brimful.db.pool import Tx

__all__: list[str] = []

_ACTOR = "command line"


@common.cli.command()
@click.option("--full", is_flag=True, help="Read every entry, not just those since the last verification.")
@click.option("--anchor", "anchor_file", type=click.File(encoding="utf-8"), help="Compare with an anchor, too.")
@DATA
@JSON_FILE
def verify(full: bool, anchor_file: IO[str] | None, data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """Check every invariant that the database can show."""
    from brimful import operations

    keyring = settings.environment.ledger_keyring(common.ledger_keys_of(data))
    with common.database_of(data) as url:
        findings = asyncio.run(operations.verify.run(url, keyring, full=full))
        if anchor_file is not None:
            findings.append(asyncio.run(operations.anchors.compare(url, keyring, anchor_file)))
    for finding in findings:
        common.say(f"{common.mark(finding.ok)}  {finding.id:<4} {finding.detail}")
    ok = all(finding.ok for finding in findings)
    common.write_json(json_file, {"ok": ok, "invariants": [finding.shown() for finding in findings]})
    sys.exit(0 if ok else 1)


@common.cli.command()
@DATA
def anchor(data: pathlib.Path | None) -> None:
    """Write how far every account's chain reaches, signed, to standard output. Keep it outside, each day."""
    from brimful import operations

    keyring = settings.environment.ledger_keyring(common.ledger_keys_of(data))

    async def write(url: str) -> None:
        async for line in operations.anchors.lines(url, keyring):
            click.echo(line, nl=False)

    with common.database_of(data) as url:
        asyncio.run(write(url))


@common.cli.command()
@click.option(
    "--before", type=click.DateTime(["%Y-%m-%d"]), help="Usage recorded before this day, UTC, 90 days ago or more."
)
@click.option("--check", is_flag=True, help="Change nothing: read every file of the directory and follow the chains.")
@click.argument("directory", type=click.Path(path_type=pathlib.Path, exists=True, file_okay=False))
@DATA
def archive(before: dt.datetime | None, check: bool, directory: pathlib.Path, data: pathlib.Path | None) -> None:
    """Move old usage from the ledger into a Parquet file in DIRECTORY, below a signed checkpoint."""
    from brimful import operations

    keyring = settings.environment.ledger_keyring(common.ledger_keys_of(data))
    if check:
        findings = operations.archive.check(directory, keyring)
        for finding in findings:
            click.echo(f"{common.mark(finding.ok)}  {finding.id}  {finding.detail}")
        sys.exit(0 if findings and all(finding.ok for finding in findings) else 1)
    if before is None:
        raise ConfigurationError("Name a day, --before YYYY-MM-DD, or --check what is in the directory.")
    moment = before.replace(tzinfo=dt.UTC)
    with common.database_of(data) as url:
        asyncio.run(operations.archive.run(url, keyring, before=moment, directory=directory, say=click.echo))


@common.cli.command()
def distribute() -> None:
    """Spread the database of DATABASE_URL over the nodes of its Citus cluster. Does what is left to do, or nothing."""
    from brimful import db

    with common.database_of(None) as url:
        db.citus.distribute.distribute(url, click.echo)


@common.cli.command()
@DATA
@JSON_FILE
def doctor(data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """Look at everything around the product: database, clocks, Stripe's key and webhook, worker, queue, books."""
    from brimful import operations

    try:
        keys = settings.environment.ledger_keyring(common.ledger_keys_of(data))
    except ConfigurationError:
        keys = None
    with common.database_of(data) as url:
        findings = asyncio.run(operations.doctor.run(url, settings.environment.stripe_access(), keys))
    for finding in findings:
        common.say(f"{common.mark(finding.ok)}  {finding.name:<14} {finding.detail}")
    ill = any(finding.ok is False for finding in findings)
    common.write_json(json_file, {"ok": not ill, "found": [finding.shown() for finding in findings]})
    sys.exit(1 if ill else 0)


@common.cli.command()
@DATA
@JSON_FILE
def status(data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """How it stands at this moment: charging, workers, queue, top-ups, deliveries, Stripe's events."""
    from brimful import operations

    found = common.as_engine(data, operations.health.examine)
    for finding in found:
        common.say(f"{common.mark(finding.ok)}  {finding.name:<14} {finding.detail}")
    ok = all(finding.ok for finding in found)
    common.write_json(json_file, {"ok": ok, "found": [finding.shown() for finding in found]})
    sys.exit(0 if ok else 1)


@common.cli.command()
@click.argument("name", type=click.Choice(["usage", "trigger", "herd", "growth", "memory", "portal", "verify"]))
@JSON_FILE
def bench(name: str, json_file: pathlib.Path | None) -> None:
    """Measure one question beside its reference, in one run on this machine."""
    from brimful.dev.bench import run as run_benchmark

    with common.words_aside(json_file):
        result = run_benchmark(name)
    common.write_json(json_file, result)


@common.cli.group(name="charging")
def charging_group() -> None:
    """Whether payments may be sent."""


@charging_group.command("stop")
@click.option("--reason", required=True, help="Shown to everybody who asks why nothing is charged.")
@DATA
def charging_stop(reason: str, data: pathlib.Path | None) -> None:
    """Send no payment until `start`. Debits go on; top-ups are requested and wait."""

    async def stop(tx: "Tx") -> bool:
        return await suspensions.store.suspend(tx, "operator", reason, actor=_ACTOR)

    click.echo("Charging is stopped." if common.as_engine(data, stop) else "Charging was stopped already.")


@charging_group.command("start")
@click.option("--reason", help="For the audit trail.")
@DATA
def charging_start(reason: str | None, data: pathlib.Path | None) -> None:
    """Resume charging that an operator stopped. Suspensions for other reasons stand on, and are named."""

    async def start(tx: "Tx") -> list[suspensions.store.Suspension]:
        await suspensions.store.resume(tx, "operator", actor=_ACTOR, reason=reason)
        return await suspensions.store.list_all(tx)

    left = common.as_engine(data, start)
    for suspension in left:
        click.echo(f"still suspended ({suspension.kind}): {suspension.reason}")
    goes = "Charging goes on. What waited is sent within a minute."
    click.echo(goes if not left else "Charging is still suspended.")
    sys.exit(1 if left else 0)


@charging_group.command("show")
@DATA
def charging_show(data: pathlib.Path | None) -> None:
    """Every suspension that stands, with its reason."""
    found = common.as_engine(data, suspensions.store.list_all)
    if not found:
        click.echo("Charging is on: nothing suspends it.")
    for suspension in found:
        click.echo(f"suspended since {suspension.since:%Y-%m-%d %H:%M} ({suspension.kind}): {suspension.reason}")


@common.cli.command()
@click.argument("customer")
@click.argument("asset")
@click.option("--amount", help="Of a debit: whether it would be refused now, and by what.")
@click.option("--subject", help="Whom the debit is for.")
@click.option(
    "--dimension", "dimensions", multiple=True, help="Of the debit, as KEY=VALUE; may be given several times."
)
@DATA
@JSON_FILE
def explain(
    customer: str,
    asset: str,
    amount: str | None,
    subject: str | None,
    dimensions: tuple[str, ...],
    data: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    """Why a customer's rule charges, or does not: the last evaluation with every fact behind it.

    With --amount, why a debit would be refused: by what is available, or by which budget.

    CUSTOMER is an id, an external id, a name or an e-mail address.
    """
    if amount is not None:
        _explain_debit(customer, asset.upper(), amount, subject, dimensions, data, json_file)
        return
    if subject is not None or dimensions:
        raise click.UsageError("--subject and --dimension are of a debit: give its --amount.")
    from brimful import operations, payments
    from brimful.api import schemas
    from brimful.auto_top_up.policy import Pace

    async def look(tx: "Tx") -> payments.explain.Explanation | None:
        return await payments.explain.explain(
            tx, await operations.lookup.find_one(tx, customer), asset.upper(), Pace(*settings.environment.pace())
        )

    found = common.as_engine(data, look)
    if found is None:
        raise Refused("not_found", f"{customer} has set no rule for {asset}.")
    shown = schemas.explanation.Explanation.of(found).model_dump()
    common.say(shown["explanation"])
    for name, value in shown.items():
        if name != "explanation":
            common.say(f"  {name:<16} {value if not isinstance(value, dict) else json.dumps(value)}")
    common.write_json(json_file, shown)


def _explain_debit(
    customer: str,
    asset: str,
    amount: str,
    subject: str | None,
    dimensions: tuple[str, ...],
    data: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    from brimful import assets, budgets, ledger, operations
    from brimful.api import schemas
    from brimful.core import money

    async def look(tx: "Tx") -> schemas.budgets.DebitExplanation:
        customer_id = await operations.lookup.find_one(tx, customer)
        known = await assets.get(tx, asset)
        account = await ledger.accounts.get(tx, customer_id, asset) or ledger.accounts.unused(customer_id, asset)
        wanted = money.positive(money.parse(amount, scale=known.scale))
        pairs = budgets.tags.dimensions(budgets.tags.pairs(dimensions))
        found = await budgets.explain.explain(tx, account, wanted, budgets.tags.subject(subject), pairs)
        return schemas.budgets.DebitExplanation.of(found)

    shown = common.as_engine(data, look).model_dump()
    common.say(shown["detail"])
    for one in shown["budgets"]:
        window = (
            "" if one["window"] == "total" else f" each {one['window']}".replace("each rolling_24h", "in any 24 hours")
        )
        kind = "hard" if one["hard"] else "soft"
        common.say(f"  {one['id']:<24} {kind}  {one['used']} used and {one['held']} held of {one['amount']}{window}")
    common.write_json(json_file, shown)


@common.cli.command()
@click.argument("customer")
@click.argument("top_up")
@click.option("--amount", help="In the top-up's currency; all that is left without it.")
@click.option("--key", help="The same key twice is one refund.")
@DATA
def refund(customer: str, top_up: str, amount: str | None, key: str | None, data: pathlib.Path | None) -> None:
    """Give money of a paid top-up back through Stripe; the worker sends it."""
    from brimful import operations, payments, top_ups
    from brimful.core import money

    async def ask(tx: "Tx") -> payments.refunds.Refund:
        customer_id = await operations.lookup.find_one(tx, customer)
        found = await top_ups.store.get(tx, customer_id, top_up)
        minor = None
        if amount is not None:
            exact = money.positive(money.parse(amount, scale=money.currency(found.currency).exponent))
            minor = money.minor_exact(exact, found.currency)
        refund_id = None if key is None else f"ref_{hashlib.sha256(f'{top_up}:{key}'.encode()).hexdigest()[:32]}"
        return await payments.reversals.request_refund(
            tx, customer_id, top_up, amount_minor=minor, actor=_ACTOR, refund_id=refund_id
        )

    made = common.as_engine(data, ask)
    click.echo(f"{made.refund_id}: {money.major(made.amount_minor, made.currency)} {made.currency}, {made.state}")


@common.cli.command()
@click.option("--since", type=click.DateTime(), help="UTC; since the last time without it.")
@click.option("--dry-run", is_flag=True, help="Say what would be repaired; change nothing.")
@click.option("--accept", "accepted", multiple=True, help="A payment of a difference to take as it is; needs --reason.")
@click.option("--reason", default="", help="Why, for the audit trail.")
@JSON_FILE
def reconcile(
    since: dt.datetime | None, dry_run: bool, accepted: tuple[str, ...], reason: str, json_file: pathlib.Path | None
) -> None:
    """Compare our books with Stripe's lists and repair what is missing, by keyed entries only."""
    from brimful import payments, wiring

    config = settings.environment.read()
    observability.logging.configure(config.log_level, config.log_form)

    async def run() -> payments.reconcile.Report:
        engine = wiring.build(config, "brimful_engine")
        if engine.payments is None:
            raise ConfigurationError("STRIPE_API_KEY is not set: there is nothing to compare with.")
        await wiring.open_all(engine)
        try:
            async with engine.database.transaction() as tx:
                for payment_id in accepted:
                    await payments.reconcile.accept(tx, payment_id, reason=reason, actor=_ACTOR)
                begin = await payments.reconcile.since_last(tx)
            chosen = begin if since is None else since.replace(tzinfo=dt.UTC)
            return await payments.reconcile.run(engine.payments, since=chosen, dry_run=dry_run)
        finally:
            await wiring.close(engine)

    try:
        report = asyncio.run(run())
    except ConnectionError as error:
        raise ConfigurationError(str(error)) from error
    for what in report.repaired:
        common.say(f"{'would repair' if dry_run else 'repaired'}  {what}")
    for what in report.differences:
        common.say(f"{common.mark(False)}  {what}")
    if not report.repaired and not report.differences:
        common.say("Nothing to repair: our books and Stripe's say the same.")
    common.say(
        f"{report.payments} payments, {report.refunds} refunds, {report.disputes} disputes since "
        f"{report.since:%Y-%m-%d %H:%M}; {report.foreign} foreign"
    )
    common.write_json(json_file, report.shown())
    sys.exit(0 if report.ok else 1)


@common.cli.command()
@click.option("--histories", type=click.IntRange(1, 10_000_000), default=2000, show_default=True)
@click.option("--seed", default="1", show_default=True)
@click.option("--processes", type=click.IntRange(1, 256), help="As many as there are cores without it.")
@JSON_FILE
def simulate(histories: int, seed: str, processes: int | None, json_file: pathlib.Path | None) -> None:
    """Live through seeded histories of debits, cards, faults and time; check every invariant after every step."""
    from brimful.dev.simulation.run import simulate as run_histories

    result = run_histories(histories=histories, seed=seed, processes=processes)
    common.write_json(json_file, result)
    common.say(
        f"{result['histories']:,} histories, {result['steps']:,} steps, {result['debits']:,} debits, "
        f"{result['credits']:,} payments credited, {result['faults']:,} faults of "
        f"{sum(1 for count in result['by_fault'].values() if count)} kinds in {result['seconds']} s"
    )
    for violation in result["violations"]:
        common.say(f"BAD  seed {violation['seed']}: {violation['violation']}; steps {violation['steps']}")
        for line in violation["trail"]:
            common.say(f"       {line}")
    sys.exit(0 if result["ok"] else 1)
