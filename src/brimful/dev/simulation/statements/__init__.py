"""The product's own statements, answered from tables in memory.

Each handler does what its SQL says, no more: the money core above runs unchanged. What is missing raises, so that
a new statement is noticed at once. `tests/simulation` holds these against PostgreSQL.
"""

from brimful.dev.simulation.statements import holding, paying, reversals, rules, wallets
from brimful.dev.simulation.statements.registry import HANDLERS

__all__ = ["HANDLERS", "holding", "paying", "reversals", "rules", "wallets"]
