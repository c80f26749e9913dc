"""Where a webhook may go: to the public internet, to the address that was judged, and nowhere inside."""

import httpx
import pytest

from brimful import webhooks
from brimful.errors import Refused
from brimful.webhooks import guard
from support.receiver import deliveries, low, subscribe


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com/#x",
        "https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/",
        "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[fd00::1]/", "https://0/",
        "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://example/",
        "https://localhost/", "https://a.localhost/", "https://metadata.google.internal/", "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/", "https://example.com:0/", "https://example.com:99999/", "https://", "x",
        "https://224.0.0.1/", "https://100.64.0.1/", "https://192.0.2.1/", "https://[2002:7f00:1::]/", "//example.com/",
        "https://exаmple.com/",
    ],
)  # fmt: skip
async def test_an_address_that_is_not_public_is_refused(house, url):
    refused = guard_refuses(url)
    assert refused.code == "url_not_allowed"
    if "127.0.0.1" not in url and "localhost" not in url and "::1" not in url:  # the sandbox may call this machine
        assert (await house.call("POST", "/webhooks", {"url": url}, expect=422))["code"] == "url_not_allowed"


def guard_refuses(url):
    with pytest.raises(Refused) as caught:
        guard.judge_url(url, loopback=False)
    return caught.value


@pytest.mark.parametrize(
    "url", ["https://example.com/", "https://a.b.example.com:8443/x?y=1", "https://93.184.216.34/"]
)
def test_a_public_address_is_taken(url):
    assert guard.judge_url(url, loopback=False) == url


@pytest.mark.parametrize(
    "inside", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]
)
async def test_a_name_that_leads_inside_is_not_called(house, inside):
    """Rebinding: judged again at each delivery, every address of the name, and the one judged is connected to."""
    asked = []

    async def resolver(host, port):
        asked.append((host, port))
        return ["93.184.216.34", inside]

    await subscribe(house, "https://hooks.example.com/x")
    await low(house)
    courier = webhooks.Courier(house.engine.database, loopback=False, resolver=resolver)
    await courier.deliver_due()
    await courier.aclose()
    [delivery] = await deliveries(house, status="Failed")
    log = await house.call("GET", f"/webhooks/events/{delivery['id']}")
    assert "not on the public internet" in log["attempts"][0]["error"]
    assert asked == [("hooks.example.com", 443)]


async def test_the_address_that_was_judged_is_the_one_connected_to(house):
    seen = []

    def answer(request):
        seen.append((request.url.host, request.headers["host"], request.extensions["sni_hostname"]))
        return httpx.Response(200)

    async def resolver(host, port):
        return ["93.184.216.34"]

    await subscribe(house, "https://hooks.example.com:8443/x")
    await low(house)
    courier = webhooks.Courier(
        house.engine.database, loopback=False, resolver=resolver, transport=httpx.MockTransport(answer)
    )
    await courier.deliver_due()
    await courier.aclose()
    assert seen == [("93.184.216.34", "hooks.example.com:8443", "hooks.example.com")]
