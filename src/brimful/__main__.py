"""`python -m brimful`."""

import sys

from brimful import cli

if __name__ == "__main__":
    sys.exit(cli.main())
