"""The payment provider: what Brimful asks of it, and what its answers mean."""
