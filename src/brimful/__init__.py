"""Brimful keeps prepaid balances funded."""
