"""Leases: holds that renew themselves while a job runs, and say early when the balance will not last."""

from brimful.leases import (
    evaluate as evaluate,
    model as model,
    store as store,
)
