"""The command line. Exit status 0 only if all is well; an unusable setting is one line, not a traceback."""

import click

from brimful.cli import desk, developing, operating, running, stripe
from brimful.cli.common import cli
from brimful.errors import ConfigurationError, Refused

__all__ = ["desk", "developing", "main", "operating", "running", "stripe"]


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
