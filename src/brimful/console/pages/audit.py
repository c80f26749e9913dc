"""The audit trail."""

import urllib.parse

from starlette.responses import Response

from brimful import operations
from brimful.console import view_model, words
from brimful.console.context import Page
from brimful.console.view_model import Cell, Field, Table, View
from brimful.core.ids import CustomerId

_PAGE = 100


async def audit_log(page: Page) -> Response:
    """Who changed what, newest first."""
    narrowed = {name: page.query(name) for name in ("customer_id", "actor", "action")}
    customer_id = narrowed["customer_id"]
    async with page.database.transaction() as tx:
        rows = await operations.lookup.audit_trail(
            tx, limit=_PAGE + 1, before=page.query("before"), actor=narrowed["actor"], action=narrowed["action"],
            customer_id=None if customer_id is None else CustomerId(customer_id),
        )  # fmt: skip
    shown = [
        [view_model.moment(row["at"]), words.who(row["actor"]), row["action"],
         Cell(row["customer_id"], f"/customers/{row['customer_id']}") if row["customer_id"] else "",
         words.difference(row["before"], row["after"])]
        for row in rows[:_PAGE]
    ]  # fmt: skip
    more = None
    if len(rows) > _PAGE:
        kept = {name: value or "" for name, value in narrowed.items()} | {"before": rows[_PAGE - 1]["audit_id"]}
        more = f"/audit?{urllib.parse.urlencode(kept)}"
    columns = ("At", "Who", "What", "Customer", "Changed")
    labels = {"customer_id": "Customer", "actor": "Who", "action": "What"}
    filters = [Field(name, labels[name], value or "") for name, value in narrowed.items()]
    return page.show(View("Audit", "audit", tables=[Table("Trail", columns, shown, more=more)], filters=filters))
