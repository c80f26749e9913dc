"""Validation of both return addresses of a link."""

from brimful.core import urls
from brimful.wiring import Deps


def validate_urls(deps: Deps, return_url: str, failure_url: str) -> None:
    origins, loopback = deps.settings.return_origins, deps.settings.sandbox
    urls.validate_return_url(return_url, origins, loopback=loopback, field="return_url")
    urls.validate_return_url(failure_url, origins, loopback=loopback, field="failure_url")
