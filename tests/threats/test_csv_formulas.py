"""Threat: a formula in an export. Whatever a spreadsheet would run is text, in every cell of every file."""

import csv
import io

from brimful import operations
from brimful.operations.export import KINDS
from support.malformed import TEXTS

FORMULAS = (
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\uff1d1+1", "\uff0b1", "\uff0d1+1", "\uff20A1", "x;=1+1",
    "x,=1+1", '",=1+1', "'=1+1", "=", "-", '=HYPERLINK("http://evil.example")',
    *[text for text in TEXTS if text.isprintable()],
)  # fmt: skip


def judged(text):
    """The cells of a file, none of which a spreadsheet would run. Everything stands in quotes: a semicolon, which parts
    cells in half of Europe, parts none.
    """
    rows = list(csv.reader(io.StringIO(text)))
    for row in rows:
        for cell in row:
            number = cell.lstrip("-").replace(".", "", 1).isdigit()
            assert number or not cell.startswith(
                ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
            ), cell
    for line in text.split("\r\n"):
        assert line == "" or line.startswith('"')
    return rows


async def test_in_what_a_customer_downloads_and_what_is_exported(harness):
    names = [text for text in FORMULAS if text.strip() and len(text) <= 200]
    customer_id = await harness.customer(name="=1+1", external_id="@x")
    await harness.give(customer_id, 1000)
    for number, text in enumerate(names):
        await harness.use(customer_id, "1", f"use-{number}", description=text)
    visitor = await harness.visitor(customer_id)
    rows = judged((await visitor.get("/activity.csv")).text)
    assert len(rows) > len(names)
    assert any("'=1+1" in row for row in rows)
    for kind in KINDS:
        judged(
            "".join(
                [
                    line
                    async for line in operations.export.lines(
                        harness.database_url, operations.export.Wanted(kind), "csv"
                    )
                ]
            )
        )
