"""The letters room: e-mail to the customer about what happened. It follows events and never holds up money."""

from brimful.letters.post import Post, address_to, send_code, write

__all__ = ["Post", "address_to", "send_code", "write"]
