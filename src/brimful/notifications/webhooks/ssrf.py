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
# Addresses that carry another inside: RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo).
_CARRIERS = [ipaddress.ip_network(net) for net in ("64:ff9b::/96", "2002::/16", "2001::/32", "3fff::/20")]
_UNICAST = ipaddress.ip_network("2000::/3")  # all that IANA has given out
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
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return permitted(str(address.ipv4_mapped))
        if address not in _UNICAST or any(address in net for net in _CARRIERS):
            return False
    return address.is_global and not address.is_multicast


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
