"""Commands that run something: up, serve, worker, sandbox, demo; and what they need first: migrate, keys."""

import asyncio
import datetime as dt
import functools
import logging
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from brimful import observability, settings, suspensions
from brimful.cli import common
from brimful.cli.common import DATA, JSON_FILE
from brimful.core import garbage
from brimful.core.errors import ConfigurationError

if TYPE_CHECKING:
    from brimful.db.pool import Tx
    from brimful.runtime.local import Running

__all__: list[str] = []


@common.cli.command()
@click.option("--data", type=click.Path(path_type=pathlib.Path), default=pathlib.Path(".brimful"), show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--sandbox-port", type=click.IntRange(0, 65535), default=0, help="The sandbox's; a free one without it.")
def up(data: pathlib.Path, port: int, sandbox_port: int) -> None:
    """Run everything on this machine: database (or DATABASE_URL's), sandbox, API, portal, worker."""
    from brimful import runtime

    observability.logging.configure("WARNING")
    stop = _stop_signal()
    database_url = settings.environment.database_url()
    with runtime.local.up(data, port=port, sandbox_port=sandbox_port, database_url=database_url) as running:
        click.echo(f"API      {running.url}/v1        (documentation: {running.url}/docs/)")
        click.echo(f"Console  {running.url}/console/   (brimful operators create NAME --data {data})")
        click.echo(f"Portal   {_sample_link(running)}")
        click.echo(
            "         (of a sample customer, good for ten minutes; POST /v1/billing-portal/sessions makes another)"
        )
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


def _sample_link(running: "Running") -> str:
    """A link into the portal of a customer to try things with, made when there is none."""
    from brimful_client import Client, Problem

    with Client(running.url, running.api_key) as brimful:
        try:
            customer = brimful.find_customer("sample")
        except Problem as problem:
            if problem.code != "customer_not_found":
                raise
            customer = brimful.create_customer(name="Sample Customer", external_id="sample")
            brimful.adjust(customer.id, transaction_id="welcome", asset="USD", amount=10, reason="gift")
        return brimful.portal_link(customer.id, return_url=f"{running.url}/docs/").redirect_url


@common.cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what completes commands and options with the Tab key: `source <(brimful completion bash)`."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(common.cli, {}, "brimful", "_BRIMFUL_COMPLETE").source())


def _stop_signal() -> Callable[[], bool]:
    """A function that says whether SIGTERM or SIGINT was received."""
    seen: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: seen.append(received))
    return lambda: bool(seen)


@common.cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--internal-port", type=click.IntRange(1, 65535), default=8081, show_default=True,
    help="/console and /metrics exist on this port alone; the same as --port puts them on that.",
)  # fmt: skip
@click.option("--internal-host", default="127.0.0.1", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes on these ports.")
def serve(host: str, port: int, internal_port: int, internal_host: str, workers: int) -> None:
    """Serve API and portal; console and metrics on a port of their own.

    SIGHUP replaces the processes one by one, where there are several.
    """
    from brimful import db, runtime

    config = settings.environment.read()
    observability.logging.configure(config.log_level, config.log_form)
    db.migrate.check_server(config.database_url_direct, allow_unsafe=config.allow_unsafe_database)
    _require_migrated(config.database_url_direct)
    asyncio.run(_report_signing(config))
    if config.api_key is not None:
        asyncio.run(_ensure_key(config))
    runtime.serve.run(host=host, port=port, internal_host=internal_host, internal_port=internal_port, workers=workers)


def _require_migrated(url: str) -> None:
    from brimful import db

    missing = db.migrate.pending(url)
    if missing:
        raise ConfigurationError(f"The database lacks {len(missing)} migrations: run `brimful migrate` first.")


async def _report_signing(config: settings.model.Settings) -> None:
    """Customers may pay through this process: it too must know whether the database went back in time."""
    from brimful import wiring

    engine = wiring.build(config, "brimful_engine")
    await wiring.open_all(engine)
    warning = suspensions.restore_guard.RestoreDetector(config.epoch_file)
    async with engine.database.transaction() as tx:
        await warning.heartbeat(tx)
    warning.committed()
    await wiring.close(engine)


async def _ensure_key(config: settings.model.Settings) -> None:
    from brimful import wiring
    from brimful.auth import api_keys

    api = wiring.build(config, "brimful_api")
    await wiring.open_all(api)
    async with api.database.transaction() as tx:
        assert config.api_key is not None
        await api_keys.ensure(tx, config.api_key, name="preset")
    await wiring.close(api)


@common.cli.command()
def worker() -> None:
    """Run the background worker. Any number may run."""
    from brimful import db, wiring, worker as background

    config = settings.environment.read()
    wiring.begin(config, "brimful-worker")
    db.migrate.check_server(config.database_url_direct, allow_unsafe=config.allow_unsafe_database)
    _require_migrated(config.database_url_direct)

    async def run() -> None:
        engine = wiring.build(config, "brimful_engine")
        await wiring.open_all(engine)
        if engine.payments is not None:
            failure = await engine.payments.gateway.check_key()
            if failure is not None:
                logging.getLogger("brimful").critical(
                    "Stripe does not accept STRIPE_API_KEY (%s): nothing can be charged until it does.", failure.message
                )
        garbage.settle()
        log = logging.getLogger("brimful.worker")
        warning = config.epoch_file or "none: a restore would go unnoticed"
        log.info("worker starts; epoch file %s, metrics at %s", warning, config.metrics_address or "none")
        try:
            await background.queue.run(engine)
            log.info("worker stopped")
        finally:
            await wiring.close(engine)

    asyncio.run(run())


@common.cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8001, show_default=True)
@click.option("--state", type=click.Path(path_type=pathlib.Path), help="Keep state in this file.")
def sandbox(port: int, state: pathlib.Path | None) -> None:
    """Run the Stripe-shaped sandbox, on loopback only."""
    import uvicorn

    from brimful import runtime
    from brimful.sandbox import app, store, world

    observability.logging.configure("WARNING")
    port = runtime.ports.require_free("127.0.0.1", port)
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


@common.cli.command()
@DATA
def migrate(data: pathlib.Path | None) -> None:
    """Bring the database up to this version."""
    from brimful import db

    with common.database_of(data) as url:
        applied = db.migrate.apply(url)
    click.echo("Applied: " + ", ".join(applied) if applied else "Nothing to apply.")


@common.cli.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--name", default="command line", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="May be given several times; all ordinary scopes without it.")
@click.option("--days", type=click.IntRange(1, 3650), help="For so many days; until it is revoked without it.")
@DATA
def create_key(name: str, scopes: tuple[str, ...], days: int | None, data: pathlib.Path | None) -> None:
    """Make an API key. It is shown once."""
    from brimful.auth import api_keys, audit

    good_for = None if days is None else dt.timedelta(days=days)
    chosen = scopes or api_keys.SCOPES

    async def create(tx: "Tx") -> str:
        secret = await api_keys.create(tx, name=name, scopes=chosen, good_for=good_for)
        made = {"name": name, "scopes": list(chosen), "days": days}
        await audit.record(tx, actor="command line", action="key.created", after=made)
        return secret

    click.echo(common.as_api(data, create))


@keys.command("list")
@DATA
def list_keys(data: pathlib.Path | None) -> None:
    """Every key, without its secret."""
    from brimful.auth import api_keys

    for key in common.as_api(data, api_keys.list_all):
        state = "revoked" if key.revoked_at else f"to {key.expires_at:%Y-%m-%d}" if key.expires_at else "active"
        used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:00}"
        click.echo(
            f"{key.key_id}  {state:<13} {key.created_at:%Y-%m-%d}  {used:<21}  {key.name:<20} {' '.join(key.scopes)}"
        )


@keys.command("revoke")
@click.argument("key")
@DATA
def revoke_key(key: str, data: pathlib.Path | None) -> None:
    """Take a key back, within five seconds everywhere; KEY is its id, as `keys list` shows it."""
    from brimful.auth import api_keys, audit

    async def revoke(tx: "Tx") -> None:
        await api_keys.revoke(tx, key)
        await audit.record(tx, actor="command line", action="key.revoked", before={"key_id": key})

    common.as_api(data, revoke)
    click.echo(f"{key} is revoked; within five seconds no process takes it.")


@common.cli.command()
@click.option("--trace", type=click.Path(path_type=pathlib.Path), help="CSV: TIMESTAMP,ContextTokens,GeneratedTokens.")
@click.option("--rows", type=click.IntRange(1), help="At most so many requests.  [default: all; generated: 6000]")
@click.option("--customers", type=click.IntRange(1, 5000), default=60, show_default=True)
@click.option("--speed", type=click.FloatRange(min=0.1, max=100_000), default=60.0, show_default=True)
@click.option("--exit", "stop_after", is_flag=True, help="Stop when every top-up has ended or waits.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free one.")
@DATA
@JSON_FILE
def demo(
    trace: pathlib.Path | None,
    rows: int | None,
    customers: int,
    speed: float,
    stop_after: bool,
    port: int,
    data: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    """Run the main job on real usage: sample customers, real portal forms, automatic top-ups."""
    from brimful.dev.demo.run import run as run_demo

    observability.logging.configure("WARNING")
    ok = run_demo(
        trace=trace,
        rows=rows,
        customers=customers,
        speed=speed,
        stop_after=stop_after,
        port=port,
        data=data,
        stderr=str(json_file) == "-",
        write=functools.partial(common.write_json, json_file),
        stopped=_stop_signal(),
    )
    sys.exit(0 if ok else 1)
