#!/bin/sh
# uvicorn 0.54.0 with asyncio's own loop (CPython 3.11 and newer): the same server sets TCP_NODELAY on its connections when it binds by
# itself, and does not when it is handed a listening socket that was made the usual way, socket.socket(AF_INET, SOCK_STREAM): that
# socket's `proto` is 0, its connections inherit the number, and asyncio turns Nagle's algorithm off only where it reads IPPROTO_TCP.
# A socket made with the protocol named, and uvloop 0.23.0 with either, do turn it off. Where it stays on, an answer that is written in
# two parts can wait for the client's delayed acknowledgement (about 40 ms on Linux): a service that is given its sockets, by a
# supervisor or to serve on two addresses, gets slower than the one that binds.
set -eu
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check "uvicorn==0.54.0" "uvloop==0.23.0"
"$dir/venv/bin/python" - >"$dir/seen" <<'PY'
import http.client
import socket
import threading
import time

import uvicorn
import uvicorn.protocols.http.h11_impl as h11_impl

seen = []


class Looks(h11_impl.H11Protocol):
    def connection_made(self, transport):
        given = transport.get_extra_info("socket")
        seen.append(bool(given.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        super().connection_made(transport)


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(name, loop, listening):
    config = uvicorn.Config(app, host="127.0.0.1", port=0, loop=loop, http=Looks, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": None if listening is None else [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
    server.should_exit = True
    thread.join()
    print(f"{name}: TCP_NODELAY {'on' if seen[-1] else 'off'}")


def bound(proto):
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, proto)
    listening.bind(("127.0.0.1", 0))
    return listening


for loop in ("asyncio", "uvloop"):
    ask(f"{loop}, binds by itself", loop, None)
    ask(f"{loop}, given a socket", loop, bound(0))
    ask(f"{loop}, given a socket that names TCP", loop, bound(socket.IPPROTO_TCP))
PY
cat >"$dir/expected" <<'END'
asyncio, binds by itself: TCP_NODELAY on
asyncio, given a socket: TCP_NODELAY off
asyncio, given a socket that names TCP: TCP_NODELAY on
uvloop, binds by itself: TCP_NODELAY on
uvloop, given a socket: TCP_NODELAY on
uvloop, given a socket that names TCP: TCP_NODELAY on
END
diff "$dir/expected" "$dir/seen" && cat "$dir/seen" && echo "as described"
