"""What the commands share: the group, the database they speak to, logging."""

import asyncio
import contextlib
import pathlib
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import click

from brimful import settings
from brimful.core.errors import ConfigurationError

if TYPE_CHECKING:
    from brimful.db.pool import Tx


Result = TypeVar("Result")
DATA = click.option("--data", type=click.Path(path_type=pathlib.Path), help="Data directory of the embedded database.")
JSON_FILE = click.option("--json", "json_file", type=click.Path(path_type=pathlib.Path), help="Write the result here.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
