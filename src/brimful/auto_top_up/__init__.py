"""Auto top-up: the customer's rule, the policy that evaluates it, and what follows in the transaction."""

from brimful.auto_top_up import (
    adaptive as adaptive,
    agreement as agreement,
    backup as backup,
    brake as brake,
    card_expiry as card_expiry,
    charges as charges,
    evaluate as evaluate,
    exposure as exposure,
    facts as facts,
    foresee as foresee,
    order as order,
    pauses as pauses,
    policy as policy,
    presets as presets,
    preview as preview,
    prices as prices,
    retries as retries,
    rules as rules,
    thresholds as thresholds,
)
