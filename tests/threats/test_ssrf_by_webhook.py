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


# The first and the last address of each block that IANA names for a purpose of its own, and the neighbours outside.
SPECIAL = """
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.0 127.255.255.255 169.254.0.0
    169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.9 192.0.0.170 192.0.0.255 192.0.2.0 192.0.2.255
    192.31.196.0 192.52.193.0 192.88.99.0 192.88.99.255 192.168.0.0 192.168.255.255 192.175.48.0 198.18.0.0
    198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0
    255.255.255.255 :: ::1 ::ffff:10.0.0.1 ::a00:1 64:ff9b::808:808 64:ff9b:1::a00:1 100::1 100:0:0:1::1
    2001::1
    2001:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1
    2001:20::1 2001:30::1 2001:db8::1 2002::1 2620:4f:8000::1 3fff::1
    3fff:fff::1 5f00::1 fc00::1 fdff::1 fe80::1 fec0::1 ff02::1
"""
PUBLIC = """
    1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
    172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255
    203.0.114.0 223.255.255.255 2001:200::1 2001:db7:ffff::1 2001:db9::1 2003::1 2606:4700::1111 2a00:1450::1 3ffe::1
    ::ffff:93.184.216.34
"""


@pytest.mark.parametrize(("addresses", "permitted"), [(SPECIAL, False), (PUBLIC, True)], ids=["special", "public"])
def test_the_table_is_ours_and_not_the_standard_librarys(addresses, permitted):
    wrong = [address for address in addresses.split() if webhooks.ssrf.permitted(address) is not permitted]
    assert wrong == []


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
