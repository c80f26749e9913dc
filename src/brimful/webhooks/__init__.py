"""The webhooks room: where events go, and getting them there (Standard Webhooks)."""

from brimful.webhooks import log
from brimful.webhooks.courier import Courier
from brimful.webhooks.endpoints import Endpoint, create, delete, enable, get, list_all, rotate, update
from brimful.webhooks.guard import Resolver, judge_url, system_resolver

__all__ = [
    "Courier",
    "Endpoint",
    "Resolver",
    "create",
    "delete",
    "enable",
    "get",
    "judge_url",
    "list_all",
    "log",
    "rotate",
    "system_resolver",
    "update",
]
