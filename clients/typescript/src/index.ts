/** A thin client of Brimful's API: typed by its OpenAPI document, over `fetch`, and safe to send again. */

export { Brimful, type Options, type Schemas } from "./client.js";
export { ConnectionFailedError, Problem } from "./errors.js";
export { Lease, WindDown, type LeaseTerms } from "./lease.js";
export { verifyWebhook, WebhookVerificationError, type Event } from "./webhooks.js";
