"""A top-up through Stripe to its credit, and what may reverse it."""

from brimful.payments import (
    advance as advance,
    checkout as checkout,
    context as context,
    create as create,
    explain as explain,
    ownership as ownership,
    poll as poll,
    reconcile as reconcile,
    refunds as refunds,
    reversals as reversals,
    settle as settle,
    stripe_customers as stripe_customers,
    stripe_events as stripe_events,
    take_back as take_back,
    turns as turns,
)
