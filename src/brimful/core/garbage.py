"""Garbage collection in a process that serves."""

import gc

_OBJECTS = 20_000  # Python's own 700 is a tenth of what one batch of debits makes


def settle() -> None:
    """Call once all is imported and built.

    What was built lives as long as the process: a collection that walks it all stops every request for 50 ms. And what
    comes later is looked at rarely: reference counts free it, and looking for cycles among the tuples of a batch, again
    and again while it is put together, took a third of the time of a debit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 50)
