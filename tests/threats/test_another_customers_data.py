"""Threat: another customer's data. The customer comes from the session, never from the address or the form."""

import re

from support.attack import long_form
from support.forms import every_form, token_of
from support.seed import one_of_everything

# What belongs to Ada alone, as it stands on pages.
ADAS = ("Ada Lovelace", "ada's words", "9995", "31.4159")
IDS = re.compile(r"\b(?:cus|top|card|con|set|pay|ent|ref)_[0-9a-f]{32}\b")


def shown(text):
    """Which of Ada's words stand in a text by themselves: a random id holds four digits in a row now and then."""
    return [word for word in ADAS if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


async def test_two_customers_never_see_each_others_anything(harness):
    one, first = await harness.funded(balance=12, threshold="10", name="One")
    two, second = await harness.funded(balance=77, name="Two")
    await harness.use(one, "3", "crossing")
    await harness.work()
    [top_up] = await harness.top_ups(one)
    [card] = await harness.sql("SELECT card_id FROM cards WHERE customer_id = %s", (one,))
    [setup] = await harness.sql("SELECT setup_id FROM card_setups WHERE customer_id = %s", (one,))
    assert (await second.get(f"/top-ups/{top_up['id']}")).status_code == 404
    assert (await second.get(f"/confirm/{top_up['id']}")).status_code == 404
    assert (await second.get(f"/cards/added/{setup['setup_id']}")).status_code == 404
    cards = await second.get("/cards")
    token = token_of(cards)
    url = f"{harness.url}/billing/cards/{card['card_id']}/remove"
    assert (await second.client.post(url, data={"csrf": token})).status_code == 422
    page = await second.get("/auto-top-up/USD")
    values = {"card": card["card_id"], "threshold": "20", "action": "save", "agreed": "yes"}
    assert (await second.submit(page, "", values)).status_code == 422
    overview = (await second.get("/")).text
    assert "One" not in overview
    assert "$34.00" not in overview
    assert (await harness.sql("SELECT state FROM cards WHERE customer_id = %s", (one,)))[0]["state"] == "active"


async def test_a_crawl_through_the_portal_finds_nothing_of_another(harness, attack):
    """Two customers: every page, form and id of one with the other's session."""
    things = await one_of_everything(harness)
    ada, grace = things["customer_id"], things["grace"]
    await harness.use(ada, "0.01", "words", description="ada's words")
    await harness.give(grace, 7)
    first, second = await harness.visitor(ada), await harness.visitor(grace)
    base = f"{harness.url}/billing"
    forms, pages = await every_form(first.client, f"{base}/", under=base)
    texts = [(await first.client.get(page)).text for page in pages if not page.endswith("/live")]
    seen = "".join(texts)
    assert shown(seen) == list(ADAS)  # the crawl has seen what is to be hidden
    ids = set(IDS.findall(seen + "".join(pages))) | {value for value in things.values() if IDS.fullmatch(value)}
    assert len(ids) >= 5
    before = await _rows(harness, ada)
    own = token_of(await second.get("/cards"))
    for page in pages:
        for address in {page, *(IDS.sub(one, page) for one in ids)}:
            if address.endswith("/live"):
                continue
            answer = await second.client.get(address, follow_redirects=False)
            attack.count()
            attack.judge(answer, address)
            for word in shown(answer.text):
                attack.got_through(f"{address} shows {word!r}")
    for _, action, fields in forms:
        if action.endswith(("/language", "/leave")):
            continue
        for one in sorted(ids) if long_form() else sorted(ids)[:6]:
            form = {**fields, "csrf": own, "card": one, "card_id": one, "top_up": one, "customer_id": ada}
            for address in {action, IDS.sub(one, action)}:
                answer = await second.client.post(f"{harness.url}{address}", data=form, follow_redirects=False)
                attack.count()
                attack.judge(answer, address)
                for word in shown(answer.text):
                    attack.got_through(f"{address} shows {word!r}")
    if await _rows(harness, ada) != before:
        attack.got_through("something of Ada's was changed")


async def _rows(harness, customer_id):
    """All that is stored of a customer and that only they may change."""
    tables = (
        "customers",
        "rules",
        "cards",
        "consents",
        "card_setups",
        "alerts",
        "top_ups",
        "payments",
        "entries",
        "accounts",
    )
    return {
        table: sorted(map(str, await harness.sql(f"SELECT * FROM {table} WHERE customer_id = %s", (customer_id,))))
        for table in tables
    }


async def test_a_crawl_through_the_api_finds_nothing_under_anothers_name(harness, attack):
    """Every id of one customer under the name of the other, at every path of the API."""
    things = await one_of_everything(harness)
    ids = {value for value in things.values() if IDS.fullmatch(value)} | {"job-1", "gift-USD-31.4159"}
    document = (await harness.api.get("/openapi.json")).json()
    grace = things["grace"]
    for path, methods in document["paths"].items():
        if "{customer_id}" not in path or "get" not in methods:
            continue
        for one in ids:
            asked = re.sub(r"\{(\w+)\}", lambda found, one=one: grace if found[1] == "customer_id" else one, path)
            answer = await harness.api.get(asked)
            attack.count()
            attack.judge(answer, asked)
            if [word for word in shown(answer.text) if word not in asked]:
                attack.got_through(asked)
