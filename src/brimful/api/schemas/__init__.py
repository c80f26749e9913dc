"""What the API accepts and returns: request and response models by resource, and the data of events.

Amounts are decimal strings in plain notation, times RFC 3339 in UTC.
"""

from brimful.api.schemas import (
    balances as balances,
    base as base,
    budgets as budgets,
    events as events,
    explanation as explanation,
    grants as grants,
    presets as presets,
    requests as requests,
    top_ups as top_ups,
    webhooks as webhooks,
)
