"""The command line. Exit status 0 only if all is well; an unusable setting is one line, not a traceback."""

import asyncio
import contextlib
import json
import logging
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Iterator

import click

from brimful import settings
from brimful.errors import ConfigurationError, Refused

__all__ = ["main"]

_DATA = click.option("--data", type=click.Path(path_type=pathlib.Path), help="Data directory of the embedded database.")
_JSON = click.option("--json", "json_file", type=click.Path(path_type=pathlib.Path), help="Write the result here.")


def main() -> int:
    """Run a command; returns the exit status."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except (ConfigurationError, Refused) as error:
        click.echo(f"brimful: {error}", err=True)
        return 2
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Brimful keeps prepaid balances funded."""


def _logging(level: str = "INFO") -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for noisy in ("httpx", "httpcore", "procrastinate", "yoyo", "stripe"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


@contextlib.contextmanager
def _database_url(data: pathlib.Path | None) -> Iterator[str]:
    """The database a command speaks to: DATABASE_URL, or the embedded server of a directory, running or not."""
    if data is None:
        url = settings.database_url()
        if url is None:
            raise ConfigurationError("Name the database: DATABASE_URL, or --data DIR of a `brimful up`.")
        yield url
        return
    from brimful.db import embedded

    directory = embedded.DataDirectory(data)
    directory.open(version=settings.embedded_version(), create=False)
    with embedded.running(directory) as server:
        yield server.url()


def _ledger_keys(data: pathlib.Path | None) -> dict[str, str]:
    if data is None:
        return {}
    from brimful.db import embedded

    directory = embedded.DataDirectory(data)
    directory.open(version=settings.embedded_version(), create=False)
    return {"BRIMFUL_LEDGER_KEYS": directory.secrets()["ledger_keys"]}


@cli.command()
@click.option("--data", type=click.Path(path_type=pathlib.Path), default=pathlib.Path(".brimful"), show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
def up(data: pathlib.Path, port: int) -> None:
    """Run everything on this machine: database, sandbox, API, portal, worker."""
    from brimful import processes

    _logging("WARNING")
    stop = _stop_signal()
    with processes.up(data, port=port) as running:
        click.echo(f"API      {running.url}/v1        (documentation: {running.url}/openapi.json)")
        click.echo(f"Portal   {running.url}/billing    (POST {running.url}/v1/billing-portal/sessions makes a link)")
        click.echo(f"Sandbox  {running.sandbox_url}    (Stripe's shape, no money)")
        click.echo(f"API key  {running.api_key}")
        click.echo("Running. Ctrl-C or SIGTERM stops it.")
        sys.stdout.flush()
        while not stop():
            name = running.dead()
            if name is not None:
                raise ConfigurationError(f"{name} ended by itself; its log above says why.")
            time.sleep(0.2)
    click.echo("Stopped.")


def _stop_signal() -> Callable[[], bool]:
    """A function that tells whether SIGTERM or SIGINT has come."""
    seen: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: seen.append(received))
    return lambda: bool(seen)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
def serve(host: str, port: int) -> None:
    """Serve the API and the portal."""
    from brimful import serving
    from brimful.db import migrate

    config = settings.read()
    _logging(config.log_level)
    migrate.check_server(config.database_url, allow_unsafe=config.allow_unsafe_database)
    _require_migrated(config.database_url)
    if config.api_key is not None:
        asyncio.run(_ensure_key(config))
    serving.run(config, host=host, port=port)


def _require_migrated(url: str) -> None:
    from brimful.db import migrate

    missing = migrate.pending(url)
    if missing:
        raise ConfigurationError(f"The database lacks {len(missing)} migrations: run `brimful migrate` first.")


async def _ensure_key(config: settings.Settings) -> None:
    from brimful import deps, keys

    api = deps.build(config, "brimful_api")
    await deps.open_deps(api)
    async with api.database.transaction() as tx:
        assert config.api_key is not None
        await keys.ensure(tx, config.api_key, name="preset")
    await deps.close(api)


@cli.command()
def worker() -> None:
    """Run the background worker. Any number may run."""
    from brimful import deps
    from brimful import worker as background
    from brimful.db import migrate

    config = settings.read()
    _logging(config.log_level)
    migrate.check_server(config.database_url, allow_unsafe=config.allow_unsafe_database)
    _require_migrated(config.database_url)

    async def run() -> None:
        engine = deps.build(config, "brimful_engine")
        await deps.open_deps(engine)
        if engine.till is not None:
            failure = await engine.till.gateway.check_key()
            if failure is not None:
                logging.getLogger("brimful").critical(
                    "Stripe does not accept STRIPE_API_KEY (%s): nothing can be charged until it does.", failure.message
                )
        try:
            await background.run(engine)
        finally:
            await deps.close(engine)

    asyncio.run(run())


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True)
@click.option("--state", type=click.Path(path_type=pathlib.Path), help="Keep state in this file.")
def sandbox(port: int, state: pathlib.Path | None) -> None:
    """Run the Stripe-shaped sandbox, on loopback only."""
    import uvicorn

    from brimful.ports import require_free
    from brimful.sandbox import app, store, world

    _logging("WARNING")
    port = require_free("127.0.0.1", port)
    webhook = None
    secret = os.environ.get("STRIPE_WEBHOOK_SECRET")  # noqa: TID251 - the sandbox shares no settings with the product
    public = os.environ.get("BRIMFUL_PUBLIC_URL")  # noqa: TID251
    if secret and public:
        webhook = (f"{public}/v1/stripe/webhooks", secret)
    key = os.environ.get("STRIPE_API_KEY")  # noqa: TID251
    state_of = world.World(store.Store(state), f"http://127.0.0.1:{port}")
    click.echo(f"Sandbox on http://127.0.0.1:{port}")
    application = app.build(state_of, key=key, webhook=webhook)
    uvicorn.run(application, host="127.0.0.1", port=port, log_level="critical", access_log=False, http="h11")


@cli.command()
@_DATA
def migrate(data: pathlib.Path | None) -> None:
    """Bring the database up to this version."""
    from brimful.db import migrate as migrations

    with _database_url(data) as url:
        applied = migrations.apply(url)
    click.echo("Applied: " + ", ".join(applied) if applied else "Nothing to apply.")


@cli.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--name", default="command line", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="May be given several times; all ordinary scopes without it.")
@_DATA
def create_key(name: str, scopes: tuple[str, ...], data: pathlib.Path | None) -> None:
    """Make an API key. It is shown once."""
    from brimful import keys as api_keys
    from brimful.db import Database

    async def create(url: str) -> str:
        database = Database(url, "brimful_api")
        await database.open()
        try:
            async with database.transaction() as tx:
                return await api_keys.create(tx, name=name, scopes=scopes or api_keys.SCOPES)
        finally:
            await database.close()

    with _database_url(data) as url:
        click.echo(asyncio.run(create(url)))


@cli.command()
@_DATA
@_JSON
def verify(data: pathlib.Path | None, json_file: pathlib.Path | None) -> None:
    """Check every invariant that the database can show."""
    from brimful import verify as verification

    keyring = settings.ledger_keyring(_ledger_keys(data))
    with _database_url(data) as url:
        findings = asyncio.run(verification.run(url, keyring))
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.id:<4} {finding.detail}")
    ok = all(finding.ok for finding in findings)
    if json_file is not None:
        json_file.write_text(json.dumps({"ok": ok, "invariants": [finding.shown() for finding in findings]}, indent=2))
    sys.exit(0 if ok else 1)


@cli.command()
@_DATA
def doctor(data: pathlib.Path | None) -> None:
    """Look at everything around the product: database, migrations, roles, Stripe, worker, queue."""
    from brimful import doctor as examination

    with _database_url(data) as url:
        findings = asyncio.run(examination.run(url))
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.name:<12} {finding.detail}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


@cli.command()
@click.argument("name", type=click.Choice(["portal", "usage"]))
@_JSON
def bench(name: str, json_file: pathlib.Path | None) -> None:
    """Measure one question beside its reference, in one run on this machine."""
    from brimful import bench as measuring

    result = measuring.run(name)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2))


@cli.command()
@click.option("--histories", type=click.IntRange(1, 10_000_000), default=2000, show_default=True)
@click.option("--seed", default="1", show_default=True)
@click.option("--processes", type=click.IntRange(1, 256), help="As many as there are cores without it.")
@_JSON
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


@cli.command()
@click.option("--trace", type=click.Path(path_type=pathlib.Path), help="CSV: TIMESTAMP,ContextTokens,GeneratedTokens.")
@click.option("--customers", type=click.IntRange(1, 5000), default=60, show_default=True)
@click.option("--speed", type=click.FloatRange(min=0.1, max=100_000), default=60.0, show_default=True)
@click.option("--exit", "stop_after", is_flag=True, help="Stop when every top-up has ended or waits.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@_DATA
@_JSON
def demo(
    trace: pathlib.Path | None,
    customers: int,
    speed: float,
    stop_after: bool,
    port: int,
    data: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    """Run the main job on real usage: sample customers, real portal forms, automatic top-ups."""
    from brimful import demo as show

    _logging("WARNING")
    ok = show.run(
        trace=trace,
        customers=customers,
        speed=speed,
        stop_after=stop_after,
        port=port,
        data=data,
        json_file=json_file,
        stopped=_stop_signal(),
    )
    sys.exit(0 if ok else 1)
