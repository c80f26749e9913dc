/** Standard Webhooks, by the signature of its own library (npm: standardwebhooks 1.1.1 made this vector). */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";

import { verifyWebhook, WebhookVerificationError } from "brimful-client";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY = JSON.stringify({ type: "balance.low", timestamp: "2026-11-25T00:00:00Z", data: { asset: "USD" } });

function sign(body, sent, secret = SECRET) {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  return `v1,${createHmac("sha256", key).update(`${ID}.${sent}.${body}`).digest("base64")}`;
}

function headers({ sent = Math.floor(Date.now() / 1000), body = BODY, ...more } = {}) {
  return { "webhook-id": ID, "webhook-timestamp": String(sent), "webhook-signature": sign(body, sent), ...more };
}

test("the vector of the specification", () => {
  assert.equal(sign('{"test": 2432232314}', 1614265330), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
});

test("a body as text or bytes, headers of Node or the Fetch API", async () => {
  for (const given of [headers(), new Headers(headers()), { "Webhook-Id": [ID], ...headers() }]) {
    for (const body of [BODY, Buffer.from(BODY)]) {
      const event = await verifyWebhook(SECRET, given, body);
      assert.deepEqual([event.id, event.type, event.data], [ID, "balance.low", { asset: "USD" }]);
    }
  }
  const several = `v1,AAAA v2,${sign(BODY, 1).slice(3)} ${headers()["webhook-signature"]}`;
  assert.equal((await verifyWebhook(SECRET, headers({ "webhook-signature": several }), BODY)).id, ID);
});

test("what is not signed, not now, or changed", async () => {
  const now = Math.floor(Date.now() / 1000);
  const wrong = [
    headers({ "webhook-signature": "v1,%%%" }),
    headers({ "webhook-signature": "" }),
    headers({ "webhook-signature": sign(BODY, now, "whsec_AAAA") }),
    headers({ sent: now - 301 }),
    headers({ sent: now + 302 }),
    headers({ "webhook-timestamp": "1e9" }),
    headers({ "webhook-id": "other" }),
    {},
  ];
  for (const given of wrong) await assert.rejects(verifyWebhook(SECRET, given, BODY), WebhookVerificationError);
  for (let place = 0; place < BODY.length; place += 1) {
    const changed = Buffer.from(BODY);
    changed[place] ^= 1;
    await assert.rejects(verifyWebhook(SECRET, headers(), changed), WebhookVerificationError);
  }
  for (const secret of ["", "whsec_", "whsec_%%%"]) await assert.rejects(verifyWebhook(secret, headers(), BODY), TypeError);
});
