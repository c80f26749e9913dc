"""Where a webhook may go: to the public internet, to the address that was judged, and nowhere inside."""

import httpx
import pytest

from brimful.core.errors import Refused
from brimful.notifications import webhooks
from support.receiver import deliveries, low, subscribe

NOT_PUBLIC = [
    "http://example.com/", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com/#x",
    "https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[fd00::1]/", "https://0/",
    "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://example/",
    "https://localhost/", "https://a.localhost/", "https://metadata.google.internal/", "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/", "https://example.com:0/", "https://example.com:99999/", "https://", "x",
    "https://224.0.0.1/", "https://100.64.0.1/", "https://192.0.2.1/", "https://[2002:7f00:1::]/", "//example.com/",
    "https://exаmple.com/",
]  # fmt: skip


async def test_an_address_that_is_not_public_is_refused(harness):
    for url in NOT_PUBLIC:
        assert guard_refuses(url).code == "url_not_allowed", url
        if "127.0.0.1" not in url and "localhost" not in url and "::1" not in url:  # the sandbox may call this machine
            answer = await harness.call("POST", "/webhooks", {"url": url}, expect=422)
            assert answer["code"] == "url_not_allowed", url


def guard_refuses(url):
    with pytest.raises(Refused) as caught:
        webhooks.ssrf.validate_url(url, loopback=False)
    return caught.value


@pytest.mark.parametrize(
    "url", ["https://example.com/", "https://a.b.example.com:8443/x?y=1", "https://93.184.216.34/"]
)
def test_a_public_address_is_taken(url):
    assert webhooks.ssrf.validate_url(url, loopback=False) == url


async def test_a_name_that_leads_inside_is_not_called(harness):
    """Rebinding: judged again at each delivery, every address of the name, and the one judged is connected to."""
    insides = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"]
    hosts = {f"{number}.example.com": inside for number, inside in enumerate(insides)}
    asked = []

    async def resolver(host, port):
        asked.append((host, port))
        return ["93.184.216.34", hosts[host]]

    for host in hosts:
        await subscribe(harness, f"https://{host}/x")
    await low(harness)
    worker = webhooks.delivery.DeliveryWorker(harness.engine.database, loopback=False, resolver=resolver)
    await worker.deliver_due()
    await worker.aclose()
    failed = await deliveries(harness, status="Failed")
    for delivery in failed:
        log = await harness.call("GET", f"/webhooks/events/{delivery['id']}")
        assert "not on the public internet" in log["attempts"][0]["error"]
    assert len(failed) == len(hosts)
    assert sorted(asked) == sorted((host, 443) for host in hosts)


async def test_the_address_that_was_judged_is_the_one_connected_to(harness):
    seen = []

    def answer(request):
        seen.append((request.url.host, request.headers["host"], request.extensions["sni_hostname"]))
        return httpx.Response(200)

    async def resolver(host, port):
        return ["93.184.216.34"]

    await subscribe(harness, "https://hooks.example.com:8443/x")
    await low(harness)
    courier = webhooks.delivery.DeliveryWorker(
        harness.engine.database, loopback=False, resolver=resolver, transport=httpx.MockTransport(answer)
    )
    await courier.deliver_due()
    await courier.aclose()
    assert seen == [("93.184.216.34", "hooks.example.com:8443", "hooks.example.com")]
