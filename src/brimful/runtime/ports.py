"""Ports: whether one can be listened on, said before anything else is started."""

import socket

from brimful.core.errors import ConfigurationError


def require_free(host: str, port: int) -> int:
    """The port itself, or a free one for 0; refuses one that another program listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on {host} cannot be used ({error.strerror}): choose another with --port."
            ) from error
        chosen: int = probe.getsockname()[1]
        return chosen
