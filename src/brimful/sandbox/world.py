"""The world: store, clock, switches and events in one place; and the rules that every call shares."""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

from brimful.sandbox import shapes
from brimful.sandbox.errors import ApiError
from brimful.sandbox.store import Store
from brimful.sandbox.switches import Switches
from brimful.sandbox.testcards import TEST_CARDS, TestCard

Object = dict[str, Any]
_PAGE_MAX = 100
_E_MAIL = re.compile(r"[^@\s]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+", re.ASCII)


class World:
    """Everything that the sandbox knows. One thread; a call runs to its end before the next begins."""

    def __init__(self, store: Store, base_url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.store = store
        self.base_url = base_url
        self.switches = Switches()
        self.clock_offset_s = 0
        self.calls = 0  # of Stripe's API, since the start
        self.on_event: Callable[[Object], None] = lambda _event: None

    def now(self) -> int:
        return int(self._clock()) + self.clock_offset_s

    def find(self, kind: str, item_id: str, param: str = "id") -> Object:
        """The object; 404 in Stripe's words when there is none."""
        item = self.store.get(kind, item_id)
        if item is None:
            raise ApiError(404, f"No such {kind}: '{item_id}'", code="resource_missing", param=param)
        return item

    def refer(self, kind: str, item_id: str, param: str) -> Object:
        """The object that a parameter names. One that is gone is the request's fault: 400, where `find` says 404."""
        item = self.store.get(kind, item_id)
        if item is None or item.get("deleted"):
            raise ApiError(400, f"No such {kind}: '{item_id}'", code="resource_missing", param=param)
        return item

    def save_customer(self, customer: Object, wanted: Object) -> Object:
        """A customer with what was asked for. An empty value unsets; e-mails are checked as Stripe checks them."""
        email = wanted.get("email")
        if email and (not _E_MAIL.fullmatch(email) or ".." in email):
            raise ApiError(400, f"Invalid email address: {email}", code="email_invalid", param="email")
        plain = {name: value or None for name, value in wanted.items() if name not in {"metadata", "expand"}}
        metadata = shapes.merged_metadata(customer["metadata"], wanted.get("metadata", {}))
        return self.store.save("customer", {**customer, **plain, "metadata": metadata})

    def delete_customer(self, customer_id: str) -> Object:
        """Gone for good; what was saved for it is attached to nobody."""
        if self.find("customer", customer_id).get("deleted"):
            raise ApiError(404, f"No such customer: '{customer_id}'", code="resource_missing", param="id")
        for method in self.store.newest("payment_method"):
            if method["customer"] == customer_id:
                self.store.save("payment_method", {**method, "customer": None})
        stub = {"id": customer_id, "object": "customer", "deleted": True}
        kept = self.store.save("customer", {**stub, "created": self.now()})
        self.emit("customer.deleted", kept)
        return stub

    def emit(self, kind: str, item: Object) -> None:
        """Keep an event with the object as it is now, and hand it to the webhooks."""
        event = shapes.event(self.now(), kind, dict(item))
        self.store.save("event", event)
        self.on_event(event)

    def page(self, kind: str, url: str, params: Object, matches: Callable[[Object], bool]) -> Object:
        """One page of a list, newest first."""
        limit = params.get("limit", 10)
        if not 1 <= limit <= _PAGE_MAX:
            raise ApiError(400, f"Invalid limit: must be between 1 and {_PAGE_MAX}", param="limit")
        items = [
            item
            for item in self.store.newest(kind)
            if not item.get("deleted") and matches(item) and _in_period(item, params)
        ]
        if "starting_after" in params:
            places = [place for place, item in enumerate(items) if item["id"] == params["starting_after"]]
            if not places:
                raise ApiError(400, f"No such {kind}: '{params['starting_after']}'", param="starting_after")
            items = items[places[0] + 1 :]
        return {"object": "list", "data": items[:limit], "has_more": len(items) > limit, "url": url}

    def save_card(self, number: str, customer: str | None) -> Object:
        """A payment method made of a test card, attached to a customer if one is named."""
        card = TEST_CARDS[number]
        method = shapes.payment_method(
            self.now(),
            brand=card.brand,
            last4=card.last4,
            fingerprint=fingerprint_of(number),
            country=card.country,
            wallet=card.wallet,
        )
        self.store.save("card_number", {"id": method["id"], "number": number})
        self.store.save("payment_method", method)
        if customer is not None:
            self.attach(method, customer)
        return method

    def attach(self, method: Object, customer: str) -> Object:
        method["customer"] = customer
        self.store.save("payment_method", method)
        self.use_up(method)
        self.emit("payment_method.attached", method)
        return method

    def use_up(self, method: Object) -> None:
        """One that was never attached to anybody pays once; one that was, never without its customer."""
        self.store.save("used_up", {"id": method["id"]})

    def renew_card(self, method_id: str, changes: Object) -> Object:
        """The card's network sent a new one: another expiry, number or brand."""
        method = self.find("payment_method", method_id)
        unknown = set(changes) - {"brand", "last4", "exp_month", "exp_year", "fingerprint"}
        if unknown:
            raise ApiError(400, f"A card has no {sorted(unknown)}")
        method["card"] = {**method["card"], **changes}
        self.store.save("payment_method", method)
        self.emit("payment_method.automatically_updated", method)
        return method

    def card_of(self, method: Object) -> TestCard:
        """The test card behind a payment method."""
        return TEST_CARDS[self.find("card_number", method["id"])["number"]]


def fingerprint_of(number: str) -> str:
    """A number has one fingerprint, for every customer and with every expiry."""
    return hashlib.sha256(f"sandbox:{number}".encode()).hexdigest()[:16]


def _in_period(item: Object, params: Object) -> bool:
    wanted = params.get("created", {})
    created: int = item["created"]
    if not isinstance(wanted, dict):
        return bool(created == wanted)
    low = max(wanted.get("gte", 0), wanted.get("gt", -1) + 1)
    high = min(wanted.get("lte", created), wanted.get("lt", created + 1) - 1)
    return bool(low <= created <= high)
