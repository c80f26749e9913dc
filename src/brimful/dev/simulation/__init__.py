"""The simulation: the money core, driven by a seed, with the sandbox's rules as provider and every invariant checked.

What runs is the product: usage, policy, trigger, top-ups, paying, the inbox, the sweep. What stands in is the
database (`statements`, held against PostgreSQL by a test) and the network (`provider`). docs/faults.md says what
this does not model.
"""
