"""The TypeScript client: typed by the committed document, run by Node against a server, packed with nothing else."""

import asyncio
import json
import pathlib

import pytest

from support import node
from support.harness import API_KEY

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A copy of the client's folder, compiled."""
    folder = node.copied(tmp_path_factory.mktemp("typescript"))
    node.run("npm", "ci", cwd=folder)
    node.run("npm", "run", "build", cwd=folder)
    return folder


@pytest.mark.timeout(300)
def test_its_types_are_those_of_the_document(client, tmp_path):
    document = ROOT / "docs" / "reference" / "openapi.json"
    node.run("npx", "openapi-typescript", str(document), "--output", str(tmp_path / "schema.ts"), cwd=client)
    assert (tmp_path / "schema.ts").read_text() == (client / "src" / "schema.ts").read_text(), "run `make docs`"


@pytest.mark.timeout(300)
async def test_its_own_tests_pass_against_a_server(harness, client):
    def run():
        return node.run("npm", "test", cwd=client, BRIMFUL_URL=harness.url, BRIMFUL_API_KEY=API_KEY)

    said = await asyncio.to_thread(run)
    assert "# fail 0" in said or "ℹ fail 0" in said
    assert "# pass 0" not in said


WRONG = {
    "a path that is not there": 'brimful.get("/v1/none")',
    "a method that the path has not": 'brimful.delete("/v1/customers")',
    "a field that is not known": 'brimful.post("/v1/customers", { body: { name: "Ada", nmae: "x" } })',
    "a field that is missing": 'brimful.post("/v1/customers", { body: {} })',
    "a part of the path that is missing": 'brimful.get("/v1/customers/{customer_id}")',
    "an amount that is a number": 'brimful.post("/v1/usage", { body: { id: "e", asset: "USD", amount: 0.1 } })',
    "an answer's field that is not there": '(await brimful.get("/v1/assets/{code}", { path: { code: "USD" } })).nmae',
    "a topic that is not there": 'if ((await verifyWebhook("", {}, "")).type === "balance.lo") throw 1',
}
RIGHT = """
const found = await brimful.get("/v1/customers/{customer_id}", { path: { customer_id: "external_id:acme" } });
const named: string | null = found.external_id;
const used = await brimful.post("/v1/usage", { body: { id: named ?? "e", asset: "USD", amount: "0.1" } });
const page = await brimful.get("/v1/top-ups");
const amounts: string[] = page.items.map((topUp) => topUp.amount);
const event = await verifyWebhook("whsec_", new Headers(), amounts[0] ?? String(used));
if (event.type === "top_up.succeeded") console.log(event.data.destination.asset, event.data.amount);
if (event.type === "balance.low") console.log(event.data.available);
export {};
"""


@pytest.mark.timeout(300)
def test_the_compiler_knows_every_path_and_field(client):
    head = (
        'import { Brimful, verifyWebhook } from "brimful-client";\nconst brimful = new Brimful({ url: "", key: "" });\n'
    )
    folder = client / "types"
    folder.mkdir(exist_ok=True)
    (folder / "right.ts").write_text(head + RIGHT)
    for number, wrong in enumerate(WRONG.values()):
        (folder / f"wrong{number}.ts").write_text(f"{head}// @ts-expect-error\n{wrong};\nexport {{}};\n")
    # A directive that expects an error fails where there is none: each of these is one that the compiler finds.
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck",
               "--lib", "es2023,dom,dom.iterable"]  # fmt: skip
    node.run("npx", "tsc", *options, *(str(path) for path in folder.glob("*.ts")), cwd=client)


@pytest.mark.timeout(300)
def test_the_package_holds_what_is_run_and_no_more(client):
    [packed] = json.loads(node.run("npm", "pack", "--dry-run", "--json", cwd=client))
    names = {entry["path"] for entry in packed["files"]}
    parts = ("balance", "client", "errors", "index", "lease", "schema", "webhooks")
    assert names == {
        "package.json",
        "README.md",
        "LICENSE",
        *(f"dist/{part}.{end}" for part in parts for end in ("js", "d.ts")),
    }
    assert packed["size"] < 60_000
    assert "dependencies" not in json.loads((client / "package.json").read_text())
