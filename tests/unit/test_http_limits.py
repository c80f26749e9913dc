"""What goes out: the head of an answer with the first part of its body."""

import asyncio

from brimful.web.http_limits import _Joined

HEAD, BODY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"{}"


class Wire:
    """A transport that keeps what it was given, call by call."""

    def __init__(self):
        self.sent = []
        self.closed = False

    def write(self, data):
        self.sent.append(data)

    def writelines(self, parts):
        self.sent.append(b"".join(parts))

    def close(self):
        self.closed = True


async def test_head_and_body_are_one_write():
    wire = Wire()
    joined = _Joined(wire, asyncio.get_running_loop())
    for _ in range(2):
        joined.write(HEAD)
        joined.write(BODY)
    await asyncio.sleep(0)
    assert wire.sent == [HEAD + BODY, HEAD + BODY]


async def test_a_body_that_is_long_in_coming_keeps_no_head_waiting():
    wire = Wire()
    joined = _Joined(wire, asyncio.get_running_loop())
    joined.write(HEAD)
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [HEAD]
    joined.write(BODY)
    joined.write(BODY)
    assert wire.sent == [HEAD, BODY, BODY]


async def test_a_head_is_sent_before_the_end():
    wire = Wire()
    joined = _Joined(wire, asyncio.get_running_loop())
    joined.write(HEAD)
    joined.close()
    assert (wire.sent, wire.closed) == ([HEAD], True)
    await asyncio.sleep(0)
    assert wire.sent == [HEAD]
