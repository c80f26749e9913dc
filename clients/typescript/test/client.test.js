/** Against a server that runs: BRIMFUL_URL and BRIMFUL_API_KEY name it. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import test from "node:test";

import { Brimful, ConnectionFailedError, Lease, Problem, WindDown } from "brimful-client";

const url = process.env.BRIMFUL_URL;
const key = process.env.BRIMFUL_API_KEY;
const brimful = new Brimful({ url, key });
const acme = { customer_id: `external_id:acme-${process.pid}` };

test("a customer uses, holds and is asked to top up", async () => {
  const customer = await brimful.post("/v1/customers", { body: { name: "Acme", external_id: `acme-${process.pid}` } });
  assert.match(customer.id, /^cus_/);
  const gift = { transaction_id: "gift", asset: "USD", amount: "10.5", reason: "gift" };
  const given = await brimful.post("/v1/customers/{customer_id}/wallet/adjustments", { path: acme, body: gift });
  assert.equal(given.balance, "10.5");
  const used = await brimful.post("/v1/usage", {
    body: { id: `job-${process.pid}`, customer_id: customer.id, asset: "USD", amount: "0.0125", if_insufficient: "refuse" },
  });
  assert.deepEqual([used.status, used.balance], ["applied", "10.4875"]);
  const refused = brimful.post("/v1/customers/{customer_id}/wallet/charges", {
    path: acme,
    body: { transaction_id: "seat", asset: "USD", amount: "50" },
  });
  await assert.rejects(refused, (problem) => {
    assert.ok(problem instanceof Problem);
    assert.deepEqual([problem.status, problem.code, problem.body.available], [402, "insufficient_funds", "10.4875"]);
    assert.match(problem.requestId, /^req_/);
    return true;
  });
  const places = { return_url: "http://127.0.0.1/app", failure_url: "http://127.0.0.1/app" };
  const link = await brimful.post("/v1/billing-portal/sessions", { body: { ...acme, ...places, flow: "auto_top_up", asset: "USD" } });
  assert.ok(link.redirect_url.startsWith(`${url}/billing/open/`));
  const page = await brimful.get("/v1/customers/{customer_id}/wallet/{account_id}/entries", {
    path: { ...acme, account_id: "default:USD" },
    query: { limit: 1 },
  });
  assert.equal(page.items[0].amount, "-0.0125");
  assert.ok(page.next_cursor);
  assert.deepEqual((await brimful.get("/v1/top-ups", { query: acme })).items, []);
  await brimful.put("/v1/customers/{customer_id}/alerts/{asset}", { path: { ...acme, asset: "USD" }, body: { threshold: "5" } });
  assert.equal(await brimful.delete("/v1/customers/{customer_id}/alerts/{asset}", { path: { ...acme, asset: "USD" } }), undefined);
  assert.equal(await brimful.patch("/v1/customers/{customer_id}", { path: acme, body: { name: "Acme Ltd" } }), undefined);
});

test("a lease is paid while it runs, and warns once before the balance ends", async () => {
  const { id: customer_id } = await brimful.post("/v1/customers", { body: { name: "Streamer" } });
  const path = { customer_id };
  const gift = { transaction_id: "gift", asset: "USD", amount: "1", reason: "gift" };
  await brimful.post("/v1/customers/{customer_id}/wallet/adjustments", { path, body: gift });
  const budget = { asset: "USD", amount: "5", window: "day", subject: "agent" };
  const made = await brimful.put("/v1/customers/{customer_id}/budgets/{budget_id}", { path: { customer_id, budget_id: "b" }, body: budget });
  assert.equal(made.left, "5");
  const lease = await Lease.begin(brimful, { customer_id, asset: "USD", chunk: "0.4", wind_down_s: 0, subject: "agent" });
  let uses = 0;
  const warned = await assert.rejects(
    async () => {
      for (; uses < 9; uses += 1) {
        await new Promise((resolve) => setTimeout(resolve, 150)); // a burn needs time
        await lease.use("0.1");
      }
    },
    (notice) => notice instanceof WindDown && notice.why === "no_rule",
  );
  assert.equal(warned, undefined);
  assert.ok(uses >= 5 && Number(lease.last.held) > 0);
  await lease.use("0.05"); // warned once
  await brimful.post("/v1/customers/{customer_id}/wallet/adjustments", { path, body: { ...gift, transaction_id: "more" } });
  assert.equal(await lease.wait(5_000), true);
  await lease.end();
  await lease.end();
  const shown = await brimful.get("/v1/customers/{customer_id}/budgets/{budget_id}", { path: { customer_id, budget_id: "b" } });
  assert.deepEqual([shown.held, shown.used], ["0", lease.last.used]);
});

test("a part of a path that is missing is said before anything is sent", async () => {
  await assert.rejects(brimful.get("/v1/customers/{customer_id}", { path: { customer_id: "" } }), /needs a customer_id/);
});

test("a name in a path is one part of it", async () => {
  for (const [customer_id, code] of [["a?x=1#y", "customer_not_found"], ["../assets", "not_found"]]) {
    await assert.rejects(brimful.get("/v1/customers/{customer_id}", { path: { customer_id } }), { status: 404, code });
  }
});

/** A server in front that loses, refuses or delays; it passes on what it is told to. */
async function unlucky(answers) {
  const keys = [];
  const server = createServer(async (request, response) => {
    keys.push(request.headers["idempotency-key"]);
    const body = await buffer(request);
    const fate = answers.shift() ?? "pass";
    const headers = { authorization: request.headers.authorization, "content-type": "application/json" };
    if (keys.at(-1)) headers["idempotency-key"] = keys.at(-1);
    const real = await fetch(url + request.url, { method: request.method, headers, body: body.length ? body : undefined });
    if (fate === "cut") return request.socket.destroy();
    if (fate !== "pass") return response.writeHead(fate, { "retry-after": "0" }).end("<html>busy</html>");
    response.writeHead(real.status, { "content-type": real.headers.get("content-type") ?? "" }).end(Buffer.from(await real.arrayBuffer()));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, keys, close: () => server.close().closeAllConnections() };
}

for (const fate of ["cut", 503, 429]) {
  test(`what is lost or refused for a moment (${fate}) is sent again with the same key`, async () => {
    const front = await unlucky([fate, fate]);
    const before = (await brimful.get("/v1/customers")).total_count;
    const made = await new Brimful({ url: front.url, key }).post("/v1/customers", { body: { name: "Only Once" } });
    front.close();
    assert.match(made.id, /^cus_/);
    assert.equal(front.keys.length, 3);
    assert.equal(new Set(front.keys).size, 1);
    assert.equal((await brimful.get("/v1/customers")).total_count, before + 1);
  });
}

test("a proxy's page is no problem that can be read, and is told after the last try", async () => {
  const front = await unlucky([502, 502]);
  const asked = new Brimful({ url: front.url, key, retries: 1 }).get("/v1/assets");
  await assert.rejects(asked, { name: "Problem", status: 502, code: "unknown", detail: "<html>busy</html>" });
  front.close();
});

test("nobody there is told after the last try", async () => {
  const alone = new Brimful({ url: "http://127.0.0.1:9", key, retries: 1 });
  await assert.rejects(alone.get("/v1/assets"), (error) => error instanceof ConnectionFailedError && error.message.startsWith("GET /v1/assets"));
});

test("a caller who gives up is not kept waiting", async () => {
  const signal = AbortSignal.timeout(100);
  const alone = new Brimful({ url: "http://127.0.0.1:9", key, retries: 9 });
  await assert.rejects(alone.get("/v1/assets", { signal }), { name: "TimeoutError" });
});
