"""Budgets: limits on what is used of an account, for a subject, a dimension or all of it."""

from brimful.budgets import (
    counting as counting,
    definitions as definitions,
    explain as explain,
    model as model,
    store as store,
    tags as tags,
    windows as windows,
)
