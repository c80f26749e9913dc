"""The demo from start to end."""

import asyncio
import contextlib
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import rich.console
import rich.live
import rich.table

from brimful import operations, runtime, settings
from brimful.core import ids, money
from brimful.core.errors import ConfigurationError
from brimful.db.pool import Database
from brimful.dev import traces
from brimful.dev.demo import cast, gifts, replay, report
from brimful.dev.demo.replay import Tally
from brimful_client.client import AsyncClient

_GENERATED_ROWS = 6000
_SETTLE_S_MAX = 90
_REFRESH_S = 0.5
_RETRIES = 20
_LINE_S = 10
# The demo squeezes hours into a minute, so its limits of pace are wider than the product's defaults.
_SETTINGS = {
    "BRIMFUL_PACE_PER_HOUR": "100000",
    "BRIMFUL_PACE_SPACING_S": "1",
    "BRIMFUL_CARDS_PER_HOUR": "20",
    "BRIMFUL_RETRY_WAITS_S": "5,10",
}


def run(
    *,
    trace: pathlib.Path | None,
    rows: int | None,
    customers: int,
    speed: float,
    stop_after: bool,
    port: int,
    data: pathlib.Path | None,
    stderr: bool,
    write: Callable[[object], None],
    stopped: Callable[[], bool],
) -> bool:
    """Run it; returns whether everything held. What is for people goes to standard error with `stderr`; `write` gets
    the result as soon as it stands.
    """
    console = rich.console.Console(stderr=stderr)
    requests = _requests(trace, rows)
    length = traces.survey(requests)  # of a file that cannot be used nothing is begun
    elsewhere = settings.environment.database_url()
    with _directory(data, keep=elsewhere is not None) as directory:
        console.print(f"[bold]Brimful[/bold] starts in {directory} …")
        if elsewhere is not None:
            console.print("The books are in DATABASE_URL's database; their keys stay in that directory.")
        with runtime.local.up(directory, port=port, extra=_SETTINGS, quiet=True, database_url=elsewhere) as running:
            show = _Show(console, running, stopped)
            return asyncio.run(show.play(requests, length, customers, speed, stop_after=stop_after, write=write))


def _requests(path: pathlib.Path | None, rows: int | None) -> traces.Trace | traces.Generated:
    if path is None:
        return traces.Generated(_GENERATED_ROWS if rows is None else rows, cast.SEED)
    return traces.Trace(path, rows)


@contextlib.contextmanager
def _directory(data: pathlib.Path | None, *, keep: bool) -> Iterator[pathlib.Path]:
    """The directory that was named, which is kept, or a new one, for this run alone unless it holds the only keys."""
    scratch = data or pathlib.Path(tempfile.mkdtemp(prefix="brimful-demo-"))
    if data is not None or keep:
        yield scratch
        return
    try:
        yield scratch
    finally:
        directory = runtime.embedded_postgres.DataDirectory(scratch)
        with contextlib.suppress(ConfigurationError, OSError):
            directory.open(version=settings.environment.embedded_version(), create=False)
            directory.remove()


class _Show:
    """One performance."""

    def __init__(
        self, console: rich.console.Console, running: runtime.local.Running, stopped: Callable[[], bool]
    ) -> None:
        self._console = console
        self._running = running
        self._stopped = stopped
        self._run_id = ids.new("evt")[-12:]
        self._tally = Tally()

    async def play(
        self,
        requests: traces.Trace | traces.Generated,
        length: tuple[int, float],
        customers: int,
        speed: float,
        *,
        stop_after: bool,
        write: Callable[[object], None],
    ) -> bool:
        running = self._running
        database = Database(running.database_url, "brimful_api", pool_max=2)
        await database.open()
        async with (
            AsyncClient(running.url, running.api_key, retries=_RETRIES) as api,
            httpx.AsyncClient(base_url=running.sandbox_url, timeout=30) as sandbox,
        ):
            players = await self._prepare(api, customers)
            self._say_prices(length, speed)
            start = time.monotonic()
            async with self._live(database):
                await replay.replay(
                    api, requests, players, speed=speed, seed=cast.SEED, run_id=self._run_id, tally=self._tally,
                    stopped=self._stopped,
                )  # fmt: skip
                seconds = time.monotonic() - start
                await self._settle(database)
            if not self._stopped():
                name = f"{self._run_id}-gifts"
                for line in await gifts.play(api, running, name):
                    self._console.print(line, highlight=False)
            result = await self._result(api, sandbox, database)
            for line in report.lines(result, seconds):
                self._console.print(line, highlight=False)
            await asyncio.to_thread(write, result)
            if not stop_after:
                await self._stay(api, players)
        await database.close()
        return bool(result["ok"])

    async def _prepare(self, api: AsyncClient, customers: int) -> list[cast.Customer]:
        await cast.set_up(api)
        players = cast.cast_parts(customers, cast.SEED)
        done = 0

        def ready() -> None:
            nonlocal done
            done += 1
            if done % 50 == 0 or done == len(players):
                self._console.print(f"  {done} of {len(players)} customers have saved a card and set their line")

        await cast.prepare(api, self._running.url, players, self._run_id, ready)
        return players

    def _say_prices(self, length: tuple[int, float], speed: float) -> None:
        price = cast.Price()
        count, seconds = length
        self._console.print(
            f"Prices: {price.prompt} USD per 1,000 prompt tokens, {price.answer} USD per 1,000 answer tokens; "
            f"or a token each, bought at {cast.RATE} USD."
        )
        self._console.print(f"Replaying {count:,} requests at {speed:g}x: about {seconds / speed:,.0f} s.")

    @contextlib.asynccontextmanager
    async def _live(self, database: Database) -> AsyncIterator[None]:
        """The moving picture on a terminal; a line now and then elsewhere."""
        done = asyncio.Event()
        task = asyncio.create_task(self._paint(database, done))
        try:
            yield
        finally:
            done.set()  # not cancel(): a query that is cancelled midway may swallow it
            await task

    async def _paint(self, database: Database, done: asyncio.Event) -> None:
        last, last_at = 0, time.monotonic()
        if not self._console.is_terminal:
            while not await _within(done, _LINE_S):
                look = await report.watch(database)
                rate = (self._tally.applied - last) / (time.monotonic() - last_at)
                last, last_at = self._tally.applied, time.monotonic()
                states = ", ".join(f"{count} {state}" for state, count in sorted(look.states.items()))
                self._console.print(f"  {last:,} events, {rate:,.0f}/s; top-ups: {states or 'none'}", highlight=False)
            return
        with rich.live.Live(console=self._console, refresh_per_second=4, transient=True) as picture:
            while not await _within(done, _REFRESH_S):
                look = await report.watch(database)
                rate = (self._tally.applied - last) / max(0.01, time.monotonic() - last_at)
                last, last_at = self._tally.applied, time.monotonic()
                picture.update(_picture(look, last, rate))

    async def _settle(self, database: Database) -> None:
        """Until every top-up has ended, or waits for its customer or a retry."""
        deadline = time.monotonic() + _SETTLE_S_MAX
        while time.monotonic() < deadline and not self._stopped():
            if not (await report.watch(database)).busy:
                return
            await asyncio.sleep(0.2)

    async def _result(self, api: AsyncClient, sandbox: httpx.AsyncClient, database: Database) -> dict[str, object]:
        """What came out. Retries go on in the background, so books and payments are read until they stand still."""
        remembered = [await report.found_all(api, self._tally), *await report.check_repeats(api, self._tally)]
        keys = settings.environment.ledger_keyring(
            {"BRIMFUL_LEDGER_KEYS": self._running.environment["BRIMFUL_LEDGER_KEYS"]}
        )
        result: dict[str, object] = {}
        for _ in range(5):
            findings = await operations.verify.run(database.url, keys)
            result = await report.build(database, sandbox, self._tally, [*findings, *remembered])
            if result["ok"]:
                break
            await asyncio.sleep(1)
        return result

    async def _stay(self, api: AsyncClient, players: list[cast.Customer]) -> None:
        """Keep everything running, with a way to look at it."""
        link = (await api.portal_link(players[0].customer_id, return_url=cast.HOME)).redirect_url
        self._console.print(f"\nThe portal of {players[0].name}, for ten minutes: [link]{link}[/link]")
        self._console.print(f"API {self._running.url}/v1, key {self._running.api_key}. Ctrl-C stops.")
        while not self._stopped():  # noqa: ASYNC110 - the signal handler cannot set an asyncio.Event safely
            await asyncio.sleep(0.2)


async def _within(done: asyncio.Event, seconds: float) -> bool:
    """Wait at most so long; whether it is done."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), seconds)
    return done.is_set()


def _picture(look: report.Watch, applied: int, rate: float) -> rich.table.Table:
    whole = rich.table.Table.grid(padding=(0, 3))
    balances = rich.table.Table(title=f"{applied:,} events, {rate:,.0f}/s", title_justify="left")
    balances.add_column("Busiest")
    balances.add_column("Balance", justify="right")
    for row in look.lowest:
        balances.add_row(row["name"], f"{row['balance']:,.2f} {row['asset']}")
    states = ", ".join(f"{count} {state}" for state, count in sorted(look.states.items()))
    latest = rich.table.Table(title=f"Top-ups: {states or 'none yet'}", title_justify="left")
    for name in ("Customer", "Asset", "Amount", "State"):
        latest.add_column(name)
    colours = {"succeeded": "green", "failed": "red", "action_required": "yellow", "retry_wait": "yellow"}
    for row in look.latest:
        amount = f"{money.major(row['amount_minor'], row['currency']):,.2f} {row['currency']}"
        colour = colours.get(row["state"], "white")
        latest.add_row(row["name"], row["asset"], amount, f"[{colour}]{row['state']}[/{colour}]")
    whole.add_row(balances, latest)
    return whole
