"""The API to the letter: the document is complete, committed, and what the server does."""

import html
import json
import os
import pathlib
import re
import subprocess
import sys

import jsonschema_rs
import pytest

from brimful import api, runtime
from brimful.api import schemas
from brimful.auth.api_keys import RARE_SCOPES, SCOPES
from brimful.core.errors import PROBLEMS
from brimful.notifications.events import Topic

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parents[1]
KEY = "key_for_schemathesis_0123456789"


@pytest.fixture(scope="module")
def reference():
    sys.path.insert(0, str(ROOT / "scripts"))
    import reference

    return reference


@pytest.fixture(scope="module")
def document(reference):
    return reference._document()


def test_every_generated_page_is_committed_as_the_code_makes_it(reference):
    changed = [str(path) for path, text in reference.pages().items() if not path.exists() or path.read_text() != text]
    assert changed == [], "run `make docs` and commit"


def test_every_application_makes_the_same_document(harness):
    """Making one must change nothing that the next is made of."""
    made = [json.dumps(api.app.build(harness.engine).openapi()) for _ in range(2)]
    assert made[0] == made[1]


async def test_the_server_gives_the_committed_document(harness, document):
    assert (await harness.api.get("/openapi.json")).json() == document


def test_every_example_fits_its_schema(document):
    schemas = document["components"]["schemas"]
    checked = 0
    for schema in schemas.values():
        for example in schema.get("examples", []):
            jsonschema_rs.validate({**schema, "components": document["components"]}, example)
            checked += 1
    for methods in document["paths"].values():
        for operation in methods.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                jsonschema_rs.validate({**content["schema"], "components": document["components"]}, example["value"])
                checked += 1
    assert checked >= 20


def test_every_body_has_an_example_and_every_operation_a_problem(document):
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}, path
            assert {"Request-Id", "RateLimit", "RateLimit-Policy"} <= set(operation["responses"]["default"]["headers"])
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            reference = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if reference:
                assert schemas[reference].get("examples"), f"{method} {path}"
    assert schemas["Problem"]["properties"]["code"]["enum"] == sorted(PROBLEMS)
    assert set(document["webhooks"]) == set(_topics())


def test_what_is_always_there_is_required_and_each_operation_has_a_name_and_a_scope(document):
    schemas = document["components"]["schemas"]
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in names)
    assert all(operation["security"][0].get("key", ["usage"])[0] in SCOPES + RARE_SCOPES for operation in operations)
    for name in set(_referred([operation["responses"] for operation in operations], schemas)) - SOMETIMES:
        assert set(schemas[name]["properties"]) == set(schemas[name]["required"]), name


SOMETIMES = {"Problem", "UsageResult"}  # their fields depend on what is answered


def _referred(part, schemas, seen=None):
    """The names of the schemas that a part of the document leads to."""
    seen = set() if seen is None else seen
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _referred(value, schemas, seen)
    reference = part.get("$ref", "") if isinstance(part, dict) else ""
    name = reference.removeprefix("#/components/schemas/")
    if name in schemas and name not in seen:
        seen.add(name)
        _referred(schemas[name], schemas, seen)
    return seen


@pytest.mark.parametrize("topic", list(Topic))
def test_the_sample_of_each_topic_is_one(document, topic):
    sample = schemas.events.sample(topic)
    schemas.events.DATA[topic].model_validate(sample, strict=True)
    body = document["webhooks"][topic]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema_rs.validate({**body, "components": document["components"]}, body["examples"][0])
    assert body["examples"][0]["data"] == sample


async def test_the_type_of_a_problem_is_the_address_of_its_page(harness):
    for path in ("/v1/customers/none", "/v1/none", "/v1/customers?limit=0"):
        problem = (await harness.api.get(path)).json()
        page = await harness.api.get(problem["type"])
        assert (page.status_code, problem["title"] in page.text) == (200, True), path
        assert problem["title"].endswith(".")
    every = (await harness.api.get("/docs/problems")).text
    assert all(f'href="/docs/problems/{code}"' in every for code in PROBLEMS)
    for code, (_, meaning) in PROBLEMS.items():
        assert html.escape(meaning).split("`")[0] in (await harness.api.get(f"/docs/problems/{code}")).text
    assert (await harness.api.get("/docs/problems/none")).status_code == 404


def _topics():
    return [topic.value for topic in Topic]


async def test_every_answer_names_itself_and_the_quota(harness):
    customer_id = await harness.customer()
    for method, path in (("GET", f"/v1/customers/{customer_id}"), ("POST", "/v1/usage"), ("GET", "/v1/none")):
        answer = await harness.api.request(method, path, json={} if method == "POST" else None)
        assert answer.headers["request-id"].startswith("req_")
        if path != "/v1/none":
            assert answer.headers["ratelimit-policy"] == '"key";q=200000;w=10'
            assert answer.headers["ratelimit"].startswith('"key";r=1')


async def test_a_key_that_asks_too_much_is_told_to_wait(database_url):
    from support.harness import Harness

    async with Harness.opened(database_url, BRIMFUL_API_RATE="1") as harness:
        answers = [await harness.api.get("/v1/assets") for _ in range(25)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].json()["code"] == "too_many_requests"
        assert 1 <= int(refused[0].headers["retry-after"]) <= 10
        assert '"key";r=0;' in refused[0].headers["ratelimit"]
        usage = await harness.api.post("/v1/usage", json={})
        assert usage.status_code in {422, 429}


async def test_a_method_that_is_not_there_names_those_that_are(harness):
    for path, allowed in (("/v1/customers", "GET, POST"), ("/v1/usage", "POST"), ("/v1/assets/USD", "GET, PATCH")):
        answer = await harness.api.request("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_nulls_and_odd_bodies_change_nothing(harness):
    """Found by schemathesis."""
    customer_id = await harness.customer(email="a@example.com")
    path = f"/customers/{customer_id}"
    for body in ({"time_zone": None}, {"name": None}):
        await harness.call("PATCH", path, body, expect=422)
    for raw in (b"0", b'"x"', b"[]", b"null"):
        answer = await harness.api.patch(f"/v1{path}", content=raw)
        assert answer.status_code == 422, raw
    await harness.call("PATCH", path, {"email": None}, expect=204)
    assert (await harness.call("GET", path))["email"] is None
    odd = await harness.api.get("/v1/customers/a%0Ab/wallet")
    assert (odd.status_code, odd.headers["content-type"]) == (404, "application/problem+json")
    for path in ("/v1/webhooks/%00", f"/v1/customers/{customer_id}/wallet/holds?asset=%00", "/v1/assets/%00"):
        assert (await harness.api.get(path)).json()["code"] == "invalid_field", path
    rate = {"source": "USD", "rate": "1", "valid_from": 0}
    await harness.call("POST", "/assets/EUR/rates", rate, expect=422)


async def test_a_text_that_hides_something_is_refused(harness):
    """Control characters, turned directions, lone surrogates, other encodings; of two writings one is kept."""
    for odd in ("a\u202eb", "a\x1b[31m", "a\r\nb", "a\u2066b", "\x00", "a\u2028b"):
        for body in ({"name": odd}, {"name": "x", "external_id": odd}, {"name": "x", "metadata": {"a": odd}}):
            assert (await harness.call("POST", "/customers", body))["code"] in {"invalid_field", "malformed_json"}, body
    assert (await harness.call("POST", "/customers", {"name": "\u200b"}, expect=422))["code"] == "invalid_field"
    asset = {"code": "TOKENS", "name": "T\u202eokens"}
    assert (await harness.call("POST", "/assets", asset, expect=422))["code"] == "invalid_field"
    made = await harness.customer("Zoe\u0308", external_id="Zoe\u0308")
    assert (await harness.call("GET", f"/customers/{made}"))["name"] == "Zo\u00eb"
    taken = await harness.call("POST", "/customers", {"name": "x", "external_id": "Zo\u00eb"}, expect=409)
    assert taken["code"] == "external_id_taken"
    for raw in ('{"name":"x"}'.encode("utf-16"), '{"name":"x"}'.encode("utf-32"), b"\xef\xbb\xbf" + b'{"name":"x"}'):
        answer = await harness.api.post("/v1/customers", content=raw)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json"), raw
    for many in ({"name": "x", **{str(n): 1 for n in range(500)}}, {"name": "x", "external_accounts": [1] * 501}):
        refused = await harness.api.post("/v1/customers", json=many)
        assert (refused.status_code, refused.json()["code"], len(refused.content) < 500) == (
            400,
            "malformed_json",
            True,
        )
    assert (await harness.api.post("/v1/customers", content=b"{", headers={"Authorization": "x"})).status_code == 401


async def test_the_docs_page_loads_nothing_from_elsewhere(harness):
    page = await harness.api.get("/docs/")
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    for file in ("files/swagger-ui.css", "files/swagger-ui-bundle.js", "start.js"):
        assert (await harness.api.get(f"/docs/{file}")).status_code == 200


@pytest.mark.timeout(300)  # fifteen seconds alone, many times that beside three others
def test_the_whole_document_holds_against_generated_requests(tmp_path):
    """Schemathesis with a valid key, good data and bad: no 5xx, no answer that the document does not have."""
    with runtime.local.up(tmp_path / "data", port=0, extra={"BRIMFUL_API_KEY": KEY}, quiet=True) as running:
        done = subprocess.run(
            [
                pathlib.Path(sys.executable).with_name("schemathesis"),
                "--config-file", HERE / "support" / "schemathesis.toml",
                "run", f"{running.url}/openapi.json",
                "-H", f"Authorization: Bearer {running.api_key}",
                "--mode", "all",
                "--max-examples", os.environ.get("BRIMFUL_EXAMPLES", "3"), "--seed", "1", "--no-shrink",
            ],
            capture_output=True, text=True, timeout=1800, cwd=tmp_path, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
