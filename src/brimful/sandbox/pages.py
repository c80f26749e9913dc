"""Pages for people: Checkout with a button per test card, the bank's page, and the switches."""

import html
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from brimful.sandbox import checkout, currencies, intents
from brimful.sandbox.errors import ApiError
from brimful.sandbox.switches import FAULTS
from brimful.sandbox.testcards import TEST_CARDS
from brimful.sandbox.world import World

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 30rem; margin: 3rem auto; padding: 0 1rem; }
button { display: block; width: 100%; margin: .4rem 0; padding: .7rem 1rem; font: inherit; text-align: left;
  border: 1px solid #8886; border-radius: .5rem; background: none; color: inherit; cursor: pointer; }
button:hover { border-color: #635bff; }
.error { color: #b3261e; } .note { opacity: .7; font-size: .9rem; }
"""


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f'<p class="note">Sandbox. No money moves.</p><h1>{html.escape(title)}</h1>{body}</body></html>'
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def _money(amount: int | None, currency: str | None) -> str:
    if amount is None or currency is None:
        return ""
    places = currencies.decimals(currency)
    return f"{Decimal(amount).scaleb(-places):,.{places}f} {currency.upper()}"


class Pages:
    """What a person sees and presses."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def show_checkout(self, request: Request) -> Response:
        return _checkout_page(self._world, request.path_params["id"], None)

    async def submit_checkout(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        form = await request.form()
        try:
            result = checkout.submit(self._world, session_id, str(form.get("number", "")))
        except ApiError as error:
            return _checkout_page(self._world, session_id, str(error))
        if result == "authenticate":
            return RedirectResponse(f"/c/authenticate/{session_id}", 303)
        return _to_success(self._world.find("checkout_session", session_id))

    async def show_checkout_bank(self, request: Request) -> Response:
        return _bank_page(f"/c/authenticate/{request.path_params['id']}")

    async def submit_checkout_bank(self, request: Request) -> Response:
        session_id = request.path_params["id"]
        form = await request.form()
        try:
            session = checkout.authenticated(self._world, session_id, agreed=form.get("answer") == "complete")
        except ApiError as error:
            return _checkout_page(self._world, session_id, str(error))
        return _to_success(session)

    async def show_bank(self, request: Request) -> Response:
        return _bank_page(f"/sandbox/authenticate/{request.path_params['id']}")

    async def submit_bank(self, request: Request) -> Response:
        form = await request.form()
        try:
            intent = self._world.find("payment_intent", request.path_params["id"])
        except ApiError as error:
            return _page("Not found", f"<p>{html.escape(str(error))}</p>", 404)
        action = intent["next_action"]
        if action is None:
            return _page("Nothing to confirm", "<p>This payment needs no confirmation any more.</p>")
        intents.authenticate(self._world, intent, agreed=form.get("answer") == "complete")
        url = action["redirect_to_url"]["return_url"]
        return RedirectResponse(f"{url}{'&' if '?' in url else '?'}payment_intent={intent['id']}", 303)

    async def home(self, _request: Request) -> Response:
        return _home(self._world)

    async def receipt(self, request: Request) -> Response:
        try:
            charge = self._world.find("charge", request.path_params["id"])
        except ApiError as error:
            return _page("Not found", html.escape(str(error)), 404)
        paid = _money(charge["amount"], charge["currency"])
        return _page("Receipt", f"<p>Paid {html.escape(paid)}</p><p class=note>{html.escape(charge['id'])}</p>")


def routes(world: World) -> list[Route]:
    """The pages as routes."""
    pages = Pages(world)
    get, post = ["GET"], ["POST"]
    return [
        Route("/", pages.home),
        Route("/receipts/{id}", pages.receipt, methods=get),
        Route("/c/pay/{id}", pages.show_checkout, methods=get),
        Route("/c/pay/{id}", pages.submit_checkout, methods=post),
        Route("/c/authenticate/{id}", pages.show_checkout_bank, methods=get),
        Route("/c/authenticate/{id}", pages.submit_checkout_bank, methods=post),
        Route("/sandbox/authenticate/{id}", pages.show_bank, methods=get),
        Route("/sandbox/authenticate/{id}", pages.submit_bank, methods=post),
    ]


def _checkout_page(world: World, session_id: str, error: str | None) -> Response:
    try:
        session = checkout.expire_old(world, world.find("checkout_session", session_id))
    except ApiError as missing:
        return _page("Not found", f"<p>{html.escape(str(missing))}</p>", 404)
    if session["status"] != "open":
        return _page("This page has expired", "<p>Go back to the shop.</p>", 410)
    title = "Save a card" if session["mode"] == "setup" else _pay_title(session)
    buttons = "".join(
        f'<button name="number" value="{card.number}">{html.escape(card.label)} '
        f'<span class="note">···· {card.last4}</span></button>'
        for card in TEST_CARDS.values()
    )
    warning = f'<p class="error" role="alert">{html.escape(error)}</p>' if error else ""
    back = html.escape(session["cancel_url"] or "#", quote=True)
    body = f'{warning}<form method="post">{buttons}</form><p><a href="{back}">Back</a></p>'
    return _page(title, body, 402 if error else 200)


def _pay_title(session: dict[str, Any]) -> str:
    return f"Pay {_money(session['amount_total'], session['currency'])}"


def _to_success(session: dict[str, Any]) -> Response:
    return RedirectResponse(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]), 303)


def _bank_page(action: str) -> Response:
    body = (
        f'<p>Your bank asks: is it you?</p><form method="post" action="{html.escape(action, quote=True)}">'
        '<button name="answer" value="complete">Complete authentication</button>'
        '<button name="answer" value="fail">Fail authentication</button></form>'
    )
    return _page("Your bank", body)


def _home(world: World) -> Response:
    active = (
        "".join(f"<li><code>{html.escape(str(switch))}</code></li>" for switch in world.switches.active)
        or "<li>none</li>"
    )
    body = (
        f"<p>Webhooks: {html.escape(world.switches.webhooks)}</p><p>Switches that are on:</p><ul>{active}</ul>"
        f'<p>Turn one on: <code>POST /sandbox/switches {{"call": "payment_intents.confirm", "fault": "drop_after", '
        f'"times": 1}}</code>; all off: <code>DELETE</code>. Faults: {", ".join(FAULTS)}.</p>'
        '<p><a href="/sandbox/books">Books</a></p>'
    )
    return _page("Sandbox", body)
