import type { webhooks } from "./schema.js";

type Sent<T extends keyof webhooks> = webhooks[T] extends {
  post: { requestBody: { content: { "application/json": infer Body } } };
}
  ? Body
  : never;

/** An event as it was sent. `id` stays the same however often it is: remember it, and act on it once. */
export type Event = { [T in keyof webhooks]: Sent<T> & { id: string; test?: boolean } }[keyof webhooks];

/** A request that was not signed with this secret, or not within five minutes of now. */
export class WebhookVerificationError extends Error {
  override readonly name = "WebhookVerificationError";
}

type Given = Headers | Record<string, string | string[] | undefined>;

const TOLERANCE_S = 300;

/**
 * The event in a request to your endpoint. Signed by Standard Webhooks (https://www.standardwebhooks.com).
 *
 * @param secret Of the endpoint, beginning with `whsec_`.
 * @param headers Of the request: Node's or the Fetch API's.
 * @param body Exactly as it was received, before anything has parsed it.
 * @throws {WebhookVerificationError} It was not signed with this secret, or more than five minutes ago.
 */
export async function verifyWebhook(secret: string, headers: Given, body: string | Uint8Array): Promise<Event> {
  const [id, sent, signatures] = (["webhook-id", "webhook-timestamp", "webhook-signature"] as const).map((name) => {
    const value = read(headers, name);
    if (value === null) throw new WebhookVerificationError(`The header ${name} is missing.`);
    return value;
  }) as [string, string, string];
  if (!/^\d{1,18}$/.test(sent)) throw new WebhookVerificationError("webhook-timestamp is no time.");
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const key = await globalThis.crypto.subtle.importKey("raw", keyOf(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const signed = new Uint8Array([...new TextEncoder().encode(`${id}.${sent}.`), ...bytes]);
  let fits = false;
  for (const offered of signatures.split(" ")) {
    const [version, value = ""] = offered.split(",");
    const mac = version === "v1" ? decoded(value) : null;
    if (mac !== null && (await globalThis.crypto.subtle.verify("HMAC", key, mac, signed))) fits = true;
  }
  if (!fits) throw new WebhookVerificationError("No signature fits: is the secret the endpoint's, and the body unchanged?");
  if (Math.abs(Date.now() / 1000 - Number(sent)) > TOLERANCE_S) {
    throw new WebhookVerificationError("It was signed more than five minutes from now: is the clock right?");
  }
  return { ...(JSON.parse(new TextDecoder().decode(bytes)) as object), id } as Event;
}

function read(headers: Given, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name);
  const found = Object.entries(headers).find(([one]) => one.toLowerCase() === name)?.[1];
  return (Array.isArray(found) ? found[0] : found) ?? null;
}

function keyOf(secret: string): Uint8Array<ArrayBuffer> {
  const key = decoded(secret.replace(/^whsec_/, ""));
  if (key === null || key.length === 0) {
    throw new TypeError("The secret is the one that the endpoint was created with; it begins with whsec_.");
  }
  return key;
}

function decoded(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}
