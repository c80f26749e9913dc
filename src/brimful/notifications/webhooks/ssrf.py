"""Where a webhook may go: to the public internet over https, and nowhere inside.

The address is checked twice: its spelling when it is set, and every address that its name has at each delivery, which
then connects to the one that was checked. A name that resolves otherwise in between gains nothing.
"""

import asyncio
import ipaddress
import re
import socket
import urllib.parse
from collections.abc import Awaitable, Callable

from brimful.core import urls
from brimful.core.errors import Refused

_NAME = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z][A-Za-z0-9-]{0,62}\.?", re.ASCII)
# What is not the public internet, and what carries another address inside: IANA's registries of special-purpose
# addresses for IPv4 and IPv6 (RFC 6890 and its updates), read in 2026, with multicast. `ipaddress.is_global` is another
# table, which changes with Python's patch releases. Blocks that are global but serve no web (AS112, AMT, 6to4's relays)
# are here as well.
_SPECIAL = [
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
    )
]  # fmt: skip
# All that IANA has given out: NAT64, local and mapped addresses lie outside.
_UNICAST = ipaddress.ip_network("2000::/3")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[list[str]]]


class ForbiddenAddressError(Exception):
    """The name leads to an address that is not on the public internet."""


def validate_url(url: str, *, loopback: bool, field: str = "url") -> str:
    """The same URL; refuses one that may not be called. `loopback` lets this machine be called, for development."""
    parts = urls.split(url)
    if parts is not None and parts.hostname is not None and "#" not in url:
        if loopback and parts.hostname in urls.LOOPBACK:
            return url
        if parts.scheme == "https" and _spelled_well(parts.hostname):
            return url
    raise Refused(
        "url_not_allowed",
        f"{field} must be an https:// address on the public internet, without user names or fragments.",
        field=field,
    )


def permitted(text: str) -> bool:
    """Whether an address is on the public internet."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return address.ipv4_mapped is not None and permitted(str(address.ipv4_mapped))
    return not any(address in block for block in _SPECIAL)


def shown(url: str) -> str:
    """The URL as others may read it: what stands behind a question mark could be a secret."""
    return url.partition("?")[0] + ("?…" if "?" in url else "")


async def reach(url: str, resolver: Resolver, *, loopback: bool) -> tuple[str, str]:
    """The URL with the name replaced by an address that was checked, and the name itself.

    Raises:
        ForbiddenAddressError: one of the name's addresses is not public.
        OSError: the name does not resolve.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = await resolver(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    if not (loopback and host in urls.LOOPBACK):
        for address in addresses:
            if not permitted(address):
                raise ForbiddenAddressError(f"{host} leads to {address}, which is not on the public internet")
    chosen = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
    return urllib.parse.urlunsplit(parts._replace(netloc=f"{chosen}:{port}")), host


async def system_resolver(host: str, port: int) -> list[str]:
    """What this machine resolves a name to."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _spelled_well(host: str) -> bool:
    """A public literal, or a name whose last part is no number: `0x7f.1` and `2130706433` are 127.0.0.1 to many."""
    try:
        return permitted(host)
    except ValueError:
        return bool(_NAME.fullmatch(host)) and not host.rstrip(".").lower().endswith((".localhost", ".internal"))
