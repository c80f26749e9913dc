"""Saved cards, cards being added, consents, and what limits how often a card is tried."""

from brimful.cards import (
    consents as consents,
    decline_budget as decline_budget,
    setups as setups,
    store as store,
    velocity as velocity,
)
