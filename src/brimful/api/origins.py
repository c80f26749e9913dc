"""Both return addresses of a link, judged."""

from brimful.deps import Deps
from brimful.urls import judge_return_url

__all__ = ["judge_urls"]


def judge_urls(deps: Deps, return_url: str, failure_url: str) -> None:
    origins, loopback = deps.settings.return_origins, deps.settings.sandbox
    judge_return_url(return_url, origins, loopback=loopback, field="return_url")
    judge_return_url(failure_url, origins, loopback=loopback, field="failure_url")
