"""Building blocks without state: money, ids, time, text, errors. Everything may import these."""
