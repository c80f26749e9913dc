"""`python -m brimful` and the `brimful` command."""

import sys

from brimful.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
