"""Suspensions of charging, and the guard that notices a restored database."""

from brimful.suspensions import (
    restore_guard as restore_guard,
    store as store,
)
