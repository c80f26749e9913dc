"""The sandbox: a Stripe-shaped server for development, the demo and tests.

A process of its own with state of its own, so that its books can be held against ours. It imports nothing
of the rest of Brimful, and only the command line starts it.
"""
