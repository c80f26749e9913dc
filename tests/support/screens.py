"""Every screen and state of the portal, and how a customer gets there: for axe and for screenshots."""

import datetime as dt
import re

from support import stage as stages


class Cast:
    """Customers whose portal shows what the screens need. Made once for a stage."""

    def __init__(self, stage):
        self.stage = stage
        stage.minutes()
        self.full = self._full()
        self.confirm = self._crossed("Grace Hopper", stages.ASKS_ALWAYS, "action_required")
        self.paused = self._crossed("Alan Turing", stages.LOST, "failed")
        self.limit = self._limit()
        self.fresh = stage.customer("New Customer")
        self.carded = stage.with_card(stage.customer("Edsger Dijkstra"))
        self.negative = stage.customer("Barbara Liskov")
        stage.give(self.negative, "1")
        stage.use(self.negative, "2.20", "over")
        self.waiting = self._crossed("Ken Thompson", stages.NO_FUNDS, "retry_wait")
        self.approve = self._approve()
        self.pending = self._pending()
        self.held = self._held()
        self.gifted = self._gifted()
        self.limited = self._limited()

    def _full(self):
        stage = self.stage
        customer_id = stage.customer("Walter Kreiger", time_zone="Europe/Berlin")
        stage.past(customer_id)
        stage.past(customer_id, "MINUTES", per_day=5, seed=3, opening="150", refill="90")
        stage.with_card(customer_id)
        stage.with_card(customer_id, "5555555555554444")

        async def turn_on(visitor):
            await visitor.turn_on("USD", threshold="10", amount="25", limit="100")

        stage.act(turn_on, customer_id)
        spare = stage.balance(customer_id) - 9
        if spare > 0:
            stage.use(customer_id, spare, "crossing")
        stage.state(customer_id, "succeeded")
        stage.use(customer_id, "3.18", "after", description="Video generation")
        return customer_id

    def _crossed(self, name, number, state):
        customer_id = self.stage.funded(name, balance="12", number=number)
        self.stage.use(customer_id, "3", "crossing")
        self.stage.state(customer_id, state)
        return customer_id

    def _limit(self):
        customer_id = self.stage.funded("Donald Knuth", balance="12", amount="25", limit="25")
        self.stage.use(customer_id, "3", "crossing")
        self.stage.state(customer_id, "succeeded")
        self.stage.use(customer_id, "26", "again")
        return customer_id

    def _approve(self):
        """Asked first; and with a threshold that follows the use."""
        customer_id = self.stage.funded("Margaret Hamilton", balance="70", threshold="40", low="10", limit="400",
                                        most="100", ask_above="50", ask_after="3")  # fmt: skip
        self.stage.use(customer_id, "130", "crossing")
        self.stage.state(customer_id, "action_required")
        return customer_id

    def _pending(self):
        self.stage.switch(call="payment_intents.confirm", fault="processing")
        customer_id = self.stage.funded("Niklaus Wirth", balance="12")
        self.stage.use(customer_id, "3", "crossing")
        self.stage.state(customer_id, "processing")
        self.stage.sandbox.delete("/sandbox/switches")
        return customer_id

    def _held(self):
        customer_id = self.stage.customer("Frances Allen")
        self.stage.give(customer_id, "20")
        hold = {"id": "job-81", "asset": "USD", "amount": "6.50"}
        self.stage.call("POST", f"/customers/{customer_id}/wallet/holds", hold)
        self.stage.call("PUT", f"/customers/{customer_id}/alerts/USD", {"threshold": "5"})
        return customer_id

    def _gifted(self):
        """Credits of every kind: a gift that expires, one that begins later, a bonus, and what was paid."""
        stage = self.stage
        offer = {"currency": "USD", "amount_from": "20", "percent": "10", "expires_after_days": 90}
        stage.call("PUT", "/assets/USD/offers", {"offers": [offer]})
        customer_id = stage.funded("Adele Goldberg", balance="12")
        now = dt.datetime.now(dt.UTC)
        gift = {"asset": "USD", "amount": "5", "reason": "gift", "expires_at": (now + dt.timedelta(days=5)).isoformat()}
        later = {
            "asset": "USD",
            "amount": "8",
            "reason": "gift",
            "effective_at": (now + dt.timedelta(days=9)).isoformat(),
        }
        for key, body in (("gift", gift), ("later", later)):
            stage.call("POST", f"/customers/{customer_id}/wallet/adjustments", {"transaction_id": key, **body})
        stage.use(customer_id, "9", "crossing")
        stage.state(customer_id, "succeeded")
        more = {**gift, "transaction_id": "more", "amount": "4"}
        stage.call("POST", f"/customers/{customer_id}/wallet/adjustments", more)
        stage.use(customer_id, "1.25", "after", description="Video generation")
        stage.call("PUT", "/assets/USD/offers", {"offers": []})
        return customer_id

    def _limited(self):
        """Spending for keys and teams; limits of the platform, one below the other, and one of the customer's own."""
        stage = self.stage
        customer_id = stage.customer("Radia Perlman", time_zone="Europe/Berlin")
        stage.give(customer_id, "300")
        team = {"asset": "USD", "amount": "100", "window": "month", "dimension": {"key": "team", "value": "search"}}
        stage.call("PUT", f"/customers/{customer_id}/budgets/team", {**team, "name": "Search"})
        for number, amount in enumerate(("25", "40", "10")):
            body = {"asset": "USD", "amount": amount, "window": "day", "subject": f"key-{number}", "parent_id": "team"}
            stage.call("PUT", f"/customers/{customer_id}/budgets/key-{number}", body)
        for number, amount in enumerate(("12.5", "33.10", "9.99", "18")):
            more = {"subject": f"key-{number}", "dimensions": {"team": "search" if number < 3 else "ads"}}
            stage.use(customer_id, amount, f"limited-{number}", **more)

        async def own(visitor):
            page = await visitor.get("/limits/USD")
            fields = {"subject": "key-3", "span": "week", "amount": "20", "hard": "no"}
            await visitor.submit(page, "/billing/limits/USD", fields)

        stage.act(own, customer_id)
        return customer_id

    def top_up(self, customer_id):
        return self.stage.top_ups(customer_id)[0]["id"]

    def card(self, customer_id):
        return self.stage.call("GET", f"/customers/{customer_id}/cards")["items"][0]["id"]

    def consent(self, customer_id):
        async def read(visitor):
            page = await visitor.get("/auto-top-up/USD")
            return re.search(r"/billing/consents/(con_[0-9a-f]+)", page.text)[1]

        return self.stage.act(read, customer_id)


def screens(cast):
    """(name, customer, path): a page of that customer's own session."""
    full = cast.full
    return [
        ("overview", full, "/"),
        ("overview-units", full, "/?asset=MINUTES"),
        ("overview-confirm", cast.confirm, "/"),
        ("overview-paused", cast.paused, "/"),
        ("overview-limit", cast.limit, "/"),
        ("overview-waiting", cast.waiting, "/"),
        ("overview-pending", cast.pending, "/"),
        ("overview-negative", cast.negative, "/"),
        ("overview-empty", cast.fresh, "/"),
        ("top-up", full, "/top-up?asset=USD"),
        ("top-up-units", full, "/top-up?asset=MINUTES"),
        ("top-up-first", cast.fresh, "/top-up"),
        ("overview-held", cast.held, "/"),
        ("alert", cast.held, "/alerts/USD"),
        ("alert-none", full, "/alerts/MINUTES"),
        ("rules", full, "/auto-top-up"),
        ("rule-on", full, "/auto-top-up/USD"),
        ("rule-off", full, "/auto-top-up/MINUTES"),
        ("rule-paused", cast.paused, "/auto-top-up/USD"),
        ("rule-no-card", cast.fresh, "/auto-top-up/USD"),
        ("cards", full, "/cards"),
        ("cards-blocked", cast.paused, "/cards"),
        ("cards-none", cast.fresh, "/cards"),
        ("card-remove", full, f"/cards/{cast.card(full)}/remove"),
        ("activity", full, "/activity"),
        ("activity-failed", cast.paused, "/activity"),
        ("activity-empty", cast.fresh, "/activity"),
        ("confirm", cast.confirm, f"/confirm/{cast.top_up(cast.confirm)}"),
        ("approve", cast.approve, f"/confirm/{cast.top_up(cast.approve)}"),
        ("approve-overview", cast.approve, "/"),
        ("approve-rule", cast.approve, "/auto-top-up/USD"),
        ("result-added", full, f"/top-ups/{cast.top_up(full)}"),
        ("result-failed", cast.paused, f"/top-ups/{cast.top_up(cast.paused)}"),
        ("receipt", full, f"/receipts/{cast.top_up(full)}"),
        ("consent", full, f"/consents/{cast.consent(full)}"),
        ("limits", cast.limited, "/limits/USD"),
        ("limits-by-team", cast.limited, "/limits/USD?by=team"),
        ("limits-none", cast.fresh, "/limits/USD"),
        ("credits", cast.gifted, "/credits/USD"),
        ("credits-overview", cast.gifted, "/"),
        ("credits-activity", cast.gifted, "/activity"),
        ("credits-take-back", cast.gifted, f"/take-back/{cast.top_up(cast.gifted)}"),
        ("credits-none", cast.fresh, "/credits/USD"),
        ("not-found", full, "/nowhere"),
    ]


def open_as(context, cast, customer_id, language):
    """A page whose session is the customer's, in that language."""
    page = context.new_page()
    page.goto(cast.stage.link(customer_id, locale=language))
    page.locator("main button").click()
    return page
