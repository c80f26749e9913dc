import type { components } from "./schema.js";

type Body = Partial<components["schemas"]["Problem"]>;

/** The server did not answer, also not when asked again. A write may have happened: send it again with the same key. */
export class ConnectionFailedError extends Error {
  override readonly name = "ConnectionFailedError";
}

/** The server refused (RFC 9457). Nothing has changed, unless `status` is 503. */
export class Problem extends Error {
  override readonly name = "Problem";
  /** Stable; docs/reference/problems.md describes each. Codes may be added. */
  readonly code: string;
  /** What is wrong and what to do, in words. */
  readonly detail: string;
  readonly requestId: string | null;

  constructor(
    /** Of HTTP. */
    readonly status: number,
    /** All that the server said, such as `balance`, `topup_url` and `errors`. */
    readonly body: Body,
  ) {
    super(`${body.code ?? "unknown"}: ${body.detail ?? ""}`);
    this.code = body.code ?? "unknown";
    this.detail = body.detail ?? "";
    this.requestId = body.request_id ?? null;
  }
}
