"""The overview: every balance, the last thirty days of one, the latest movements; and the way out."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import psycopg_pool
from starlette.responses import Response, StreamingResponse

from brimful import i18n
from brimful.auth import portal_sessions
from brimful.db.pool import Tx
from brimful.portal import chart, csrf
from brimful.portal.context import Page
from brimful.portal.live import HEARTBEAT_S
from brimful.portal.pages import activity, panels, spending
from brimful.portal.pages.panels import Panel

_LATEST = 5
_STREAM_LIFE_S = 600
_THROTTLE_S = 2


async def overview(page: Page) -> Response:
    """Every balance with its threshold, what is on its way, and the latest movements."""
    async with page.deps.database.transaction() as tx:
        now = await tx.now()
        shown = await panels.panels(page, tx)
        pasts = await _pasts(page, tx, shown)
        latest = await activity.latest(page, tx, [panel.asset for panel in shown if panel.opened], limit=_LATEST)
        section = await _section(page, tx, shown, pasts)
    low = _low(shown, pasts)
    values: dict[str, Any] = {
        "panels": [panel for panel in shown if panel.used],
        "unused": [panel for panel in shown if not panel.used],
        "banner": panels.banner(page, shown, now, low),
        "spent": {code: _spent(page, shown, code, one) for code, one in pasts.items() if one is not None},
        "section": section,
        "latest": latest,
        "now": now,
        "empty": not any(panel.opened for panel in shown),
    }
    return page.show("overview.html", values)


async def _pasts(page: Page, tx: Tx, shown: list[Panel]) -> dict[str, spending.Spending | None]:
    """What was spent of each balance lately."""
    return {panel.asset.code: await spending.read(page, tx, panel.asset.code) for panel in shown if panel.opened}


def _low(shown: list[Panel], pasts: dict[str, spending.Spending | None]) -> set[str]:
    """Balances with less than a usual day's use left."""
    return {code for code, one in pasts.items() if one is not None and _is_low(shown, code, one)}


def _is_low(shown: list[Panel], code: str, one: spending.Spending) -> bool:
    """Less than a usual day's use left."""
    panel = next(panel for panel in shown if panel.asset.code == code)
    return 0 < panel.balance < one.usual_day


def _spent(page: Page, shown: list[Panel], code: str, one: spending.Spending) -> dict[str, Any]:
    """What a panel says about spending: this month in words, thirty days as small bars."""
    asset = next(panel.asset for panel in shown if panel.asset.code == code)
    return {"month": page.words.amount_rounded(one.month_spent, asset), "bars": chart.bars(one.days)}


async def _section(
    page: Page, tx: Tx, shown: list[Panel], pasts: dict[str, spending.Spending | None]
) -> dict[str, Any] | None:
    """The chart and its table: of the asset that was asked for, else of the first that has a past."""
    wanted = page.query("asset")
    codes = [code for code, one in pasts.items() if one is not None]
    if not codes:
        return None
    code = wanted if wanted in codes else codes[0]
    one = pasts[code]
    assert one is not None
    panel = next(panel for panel in shown if panel.asset.code == code)
    rule = panel.rule if panel.rule is not None and panel.rule.enabled else None
    threshold = None if rule is None else rule.in_force
    bounds = None if rule is None or rule.threshold_low is None else (rule.threshold_low, rule.threshold)
    return {
        "panel": panel,
        "others": [item for item in shown if item.asset.code in codes and item.asset.code != code],
        "chart": await spending.draw(page, tx, one, threshold, bounds),
        "threshold": None if threshold is None else page.words.amount(threshold, panel.asset),
        "days": one.days,
        "bars": chart.bars(one.days),
        "month": page.words.amount_rounded(one.month_spent, panel.asset),
        "usual": page.words.amount_rounded(one.usual_day, panel.asset),
    }


async def live(page: Page) -> Response:
    """Balances as they change, as server-sent events that carry the panels' HTML."""
    if page.session.kind != "portal":
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(page), media_type="text/event-stream", headers=headers)


async def _stream(page: Page) -> AsyncIterator[str]:
    seen = page.request.headers.get("last-event-id", "")[:32]
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + _STREAM_LIFE_S
    async with page.context.hub.listen(page.session.customer_id) as queue:
        yield "retry: 3000\n\n"
        while queue is not None and loop.time() < ends_at:
            try:
                mark = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
            except TimeoutError:
                yield ": here\n\n"
                mark = seen
            while not queue.empty():
                mark = queue.get_nowait()
            if mark is None or (html := await _change(page, mark != seen)) is None:
                return
            if not html:
                continue
            seen = mark
            lines = "\n".join(f"data: {line}" for line in html.splitlines() if line)
            yield f"id: {mark}\n{lines}\n\n"
            await asyncio.sleep(_THROTTLE_S)


async def _change(page: Page, changed: bool) -> str | None:
    """The panels as they are now, "" where nothing changed; None where the stream ends: the session has ended, or the
    database does not answer. The browser comes back in three seconds.
    """
    try:
        if not await _still_open(page):
            return None
        return await _fragments(page) if changed else ""
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
        return None


async def _still_open(page: Page) -> bool:
    """A page left open must not see more than its session may, nor keep the session alive."""
    async with page.deps.database.transaction() as tx:
        return await portal_sessions.still_open(tx, page.session)


async def _fragments(page: Page) -> str:
    """The panels, and the banner: a payment that wants its customer is announced while they look."""
    async with page.deps.database.transaction() as tx:
        shown = await panels.panels(page, tx)
        pasts = await _pasts(page, tx, shown)
        now: dt.datetime = await tx.now()
    values = {"panels": shown, "now": now, "banner": panels.banner(page, shown, now, _low(shown, pasts))}
    return page.context.render("live.html", values, page.words)


async def language(page: Page) -> Response:
    """The customer chooses a language, for the portal and for e-mails."""
    wanted, back = page.field("language"), page.field("back")
    if wanted in i18n.words.LANGUAGES:
        async with page.deps.database.transaction() as tx:
            await portal_sessions.set_locale(tx, page.session, wanted)
    safe = back.startswith("/billing/") and "\\" not in back and "//" not in back
    return page.go(back.removeprefix("/billing") if safe else "/")


async def leave(page: Page) -> Response:
    """Sign out, back to the platform."""
    async with page.deps.database.transaction() as tx:
        await portal_sessions.end(tx, page.session)
    back = page.session.return_url
    response = page.go("/") if back is None else page.away(back, signed_out=True)
    name = csrf.cookie_name(page.deps.settings)
    response.delete_cookie(name, path="/", secure=name.startswith("__Host-"))
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response
