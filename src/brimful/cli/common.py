"""What the commands share: the group, the database they speak to, logging."""

import asyncio
import contextlib
import json
import pathlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from brimful import settings
from brimful.core.errors import ConfigurationError

if TYPE_CHECKING:
    from brimful.db.pool import Tx


Result = TypeVar("Result")
DATA = click.option("--data", type=click.Path(path_type=pathlib.Path), help="Data directory of the embedded database.")
JSON_FILE = click.option(
    "--json", "json_file", type=click.Path(path_type=pathlib.Path, allow_dash=True),
    help="Write the result to this file; - is standard output, and nothing else goes there.",
)  # fmt: skip
# What a newcomer looks for, in the order in which they need it.
SECTIONS = {
    "Begin": ("demo", "up", "sandbox", "completion"),
    "Build": ("listen", "trigger", "replay", "seed", "import"),
    "Run": ("migrate", "stripe", "serve", "worker", "keys", "operators", "distribute"),
    "Look": ("status", "doctor", "verify", "explain", "customers", "top-ups", "anchor"),
    "Act": ("charging", "refund", "evidence", "reconcile", "archive", "export"),
    "Measure": ("bench", "simulate", "backtest"),
}


class Sections(click.Group):
    """A group whose help shows its commands by what they are for, and their descriptions whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        for title, names in SECTIONS.items():
            rows = [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)


def say(text: str = "") -> None:
    """A line for people: beside `--json -` it goes to standard error."""
    context = click.get_current_context(silent=True)
    given = None if context is None else context.params.get("json_file")
    click.echo(text, err=str(given) == "-")


def words_aside(json_file: pathlib.Path | None) -> contextlib.AbstractContextManager[object]:
    """While it is entered, what is printed for people goes where `say` sends it."""
    return contextlib.redirect_stdout(sys.stderr) if str(json_file) == "-" else contextlib.nullcontext()


def write_json(json_file: pathlib.Path | None, result: object) -> None:
    """The result of a command as JSON, where it was asked for."""
    if json_file is None:
        return
    text = json.dumps(result, indent=2)
    if str(json_file) == "-":
        click.echo(text)
    else:
        json_file.write_text(text)


def mark(ok: bool | None) -> str:
    """`ok`, `BAD` or `--`, in color on a terminal."""
    word, color = {True: ("ok ", "green"), False: ("BAD", "red"), None: ("-- ", "yellow")}[ok]
    return click.style(word, fg=color, bold=ok is False)


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--env", "env_file", type=click.Path(dir_okay=False), help="Take settings from a file of NAME=VALUE lines."
)
@click.version_option(package_name="brimful", prog_name="brimful", message="%(prog)s %(version)s")
def cli(env_file: str | None) -> None:
    """Brimful keeps prepaid balances funded."""
    if env_file is not None:
        try:
            settings.environment.load_file(env_file)
        except OSError as error:
            raise ConfigurationError(f"{env_file} cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def database_of(data: pathlib.Path | None) -> Iterator[str]:
    """The database a command speaks to: DATABASE_URL, or the embedded server of a directory, running or not."""
    if data is None:
        url = settings.environment.database_url()
        if url is None:
            raise ConfigurationError("Name the database: DATABASE_URL, or --data DIR of a `brimful up`.")
        yield url
        return
    from brimful import runtime

    directory = runtime.embedded_postgres.DataDirectory(data)
    directory.open(version=settings.environment.embedded_version(), create=False)
    with runtime.embedded_postgres.running(directory) as server:
        yield server.url()


def ledger_keys_of(data: pathlib.Path | None) -> dict[str, str]:
    if data is None:
        return {}
    from brimful import runtime

    directory = runtime.embedded_postgres.DataDirectory(data)
    directory.open(version=settings.environment.embedded_version(), create=False)
    return {"BRIMFUL_LEDGER_KEYS": directory.secrets()["ledger_keys"]}


def as_api(data: pathlib.Path | None, run: Callable[["Tx"], Awaitable[Result]]) -> Result:
    """One transaction under the API's role."""
    return _as(data, "brimful_api", run)


def as_engine(data: pathlib.Path | None, run: Callable[["Tx"], Awaitable[Result]]) -> Result:
    """One transaction under the engine's role."""
    return _as(data, "brimful_engine", run)


def as_owner(data: pathlib.Path | None, run: Callable[["Tx"], Awaitable[Result]]) -> Result:
    """One transaction under the owner's role, for what no service may do."""
    return _as(data, "brimful_owner", run)


def _as(data: pathlib.Path | None, role: str, run: Callable[["Tx"], Awaitable[Result]]) -> Result:
    from brimful.db.pool import Database

    async def within(url: str) -> Result:
        database = Database(url, role, pool_max=1)
        await database.open(timeout_s=5)
        try:
            async with database.transaction() as tx:
                return await run(tx)
        finally:
            await database.close()

    with database_of(data) as url:
        return asyncio.run(within(url))
