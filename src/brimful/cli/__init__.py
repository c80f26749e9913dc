"""The command line. Exit status 0 only if all is well; an unusable setting is one line, not a traceback."""

import click
import psycopg
import psycopg_pool

from brimful.cli import (
    common,
    developing as developing,
    disputes as disputes,
    operating as operating,
    running as running,
    stripe as stripe,
    support as support,
)
from brimful.core.errors import ConfigurationError, Refused


def main() -> int:
    """Run a command; returns the exit status."""
    try:
        common.cli.main(prog_name="brimful", standalone_mode=False)
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
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
        reason = " ".join(str(error).split())
        click.echo(f"brimful: the database does not answer or refuses this login: {reason}", err=True)
        return 2
    except psycopg.errors.UndefinedTable:
        click.echo("brimful: the database has no tables of this version: run `brimful migrate`", err=True)
        return 2
    except psycopg.errors.UndefinedObject as error:
        click.echo(
            f"brimful: {error.diag.message_primary}: a dump has no roles, restore them first (pg_dumpall -r)", err=True
        )
        return 2
    return 0
