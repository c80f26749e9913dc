"""A customer's id: text at every door, sixteen bytes in the database."""

import pytest
from pydantic import TypeAdapter

from brimful.core import ids
from brimful.core.ids import NOBODY, CustomerId
from brimful.db.columns import CustomerIds


def test_it_is_text_that_knows_its_bytes():
    made = ids.new_customer()
    assert made.startswith("cus_")
    assert len(made) == 36
    assert CustomerId.of(made.number) == made
    assert TypeAdapter(CustomerId).validate_python(str(made)).number == made.number


@pytest.mark.parametrize(
    "text", ["", "cus_", "cus_nobody", "cus_" + "g" * 32, "cus_" + "A" * 32, "cus_" + "0" * 31, " cus_" + "1" * 32,
             "cus_" + "1" * 32 + "\n", "cus_" + " 1" * 16, "cus_" + "\u0661" * 32, "top_" + "1" * 32],
)  # fmt: skip
def test_what_has_not_its_form_is_nobodys(text):
    assert CustomerId(text).number == NOBODY.number == bytes(16)


async def test_the_database_gives_back_what_it_was_given(harness):
    made = ids.new_customer()
    async with harness.engine.database.transaction() as tx:
        for many in ([made], CustomerIds([made])):
            row = await tx.one(
                "SELECT %s AS one, %s::uuid[] AS many, ARRAY[%s::uuid]::text[] AS text", (made, many, made)
            )
            assert (row["one"], row["many"]) == (made, [made])
            assert row["text"][0].replace("-", "") == made[4:]
            assert {type(row["one"]), type(row["many"][0])} == {CustomerId}


async def test_nobody_has_an_account(harness):
    """Neither the database's all-zero id nor a text that reads as it."""
    for text in ("cus_nobody", str(NOBODY)):
        refused = await harness.call("GET", f"/customers/{text}", expect=404)
        assert refused["code"] == "customer_not_found"
        event = {"id": "e", "customer_id": text, "asset": "USD", "amount": "1"}
        assert (await harness.call("POST", "/usage", event, expect=404))["code"] == "customer_not_found"
