import type { Brimful, Schemas } from "./client.js";
import { Problem } from "./errors.js";

/** What a lease is asked for with: see `CreateHold`. Its `id` is yours, or made here. */
export type LeaseTerms = { customer_id: string; asset: string; chunk: string; wind_down_s?: number; id?: string } & Partial<
  Pick<Schemas["CreateHold"], "expires_in_s" | "description" | "subject" | "dimensions">
>;

const EXPIRES_IN_S = 600;
const WIND_DOWN_S = 60;
const ENDED = new Set(["hold_ended", "hold_not_found"]);

/** The balance ends soon, and nothing more comes. Thrown once; what was used is paid. */
export class WindDown extends Error {
  override readonly name = "WindDown";

  constructor(
    /** Until the share of the balance ends at the present burn; null where that cannot be told. */
    readonly secondsLeft: number | null,
    /** What keeps a top-up away, such as `limit_reached`. */
    readonly why: string | null,
  ) {
    super(`The balance ends ${secondsLeft === null ? "soon" : `in ${Math.round(secondsLeft)} s`}: ${why ?? "nothing more comes"}.`);
  }
}

/** Pays while a job runs, and says in time when the balance will not last. Begin it with `Lease.begin`, end it with `end`. */
export class Lease {
  readonly #brimful: Brimful;
  readonly #path: { customer_id: string; hold_id: string };
  readonly #series = globalThis.crypto.randomUUID().slice(0, 8);
  #number = 0;
  #warned = false;
  /** What the server said last; null before the first use. */
  last: Schemas["LeaseUse"] | null = null;

  private constructor(brimful: Brimful, customer_id: string, hold_id: string) {
    this.#brimful = brimful;
    this.#path = { customer_id, hold_id };
  }

  /** @throws {Problem} What is available does not cover the chunk, or a budget does not. */
  static async begin(brimful: Brimful, terms: LeaseTerms): Promise<Lease> {
    const { customer_id, chunk, wind_down_s = WIND_DOWN_S, id = `lease-${globalThis.crypto.randomUUID()}`, ...rest } = terms;
    const body = { expires_in_s: EXPIRES_IN_S, ...rest, id, lease: { chunk, wind_down_s } };
    await brimful.post("/v1/customers/{customer_id}/wallet/holds", { path: { customer_id }, body });
    return new Lease(brimful, customer_id, id);
  }

  get holdId(): string {
    return this.#path.hold_id;
  }

  /** Pays what was used since the last time. @throws {WindDown} Once, when the balance will end. */
  async use(amount: string): Promise<Schemas["LeaseUse"]> {
    const answer = await this.#send(amount);
    if (answer.state === "winding_down" && !this.#warned) {
      this.#warned = true;
      const left = answer.good_until === null ? null : (Date.parse(answer.good_until) - Date.parse(answer.at)) / 1000;
      throw new WindDown(left, answer.why);
    }
    return answer;
  }

  /** A sign of life: the lease goes on, and its state is read anew. */
  keep(): Promise<Schemas["LeaseUse"]> {
    return this.#send("0");
  }

  /** Waits until a lease that wound down may go on; false when it may not by then. */
  async wait(timeout: number, every = 2_000): Promise<boolean> {
    const until = Date.now() + timeout;
    for (;;) {
      if ((await this.keep()).state !== "winding_down") return true;
      if (Date.now() >= until) return false;
      await new Promise((resolve) => setTimeout(resolve, Math.min(every, Math.max(0, until - Date.now()))));
    }
  }

  /** Gives back what is left. */
  async end(): Promise<void> {
    try {
      await this.#brimful.post("/v1/customers/{customer_id}/wallet/holds/{hold_id}/release", { path: this.#path });
    } catch (problem) {
      if (!(problem instanceof Problem && ENDED.has(problem.code))) throw problem;
    }
  }

  async #send(amount: string): Promise<Schemas["LeaseUse"]> {
    this.#number += 1;
    const body = { id: `${this.#series}-${this.#number}`, amount };
    const answer = await this.#brimful.post("/v1/customers/{customer_id}/wallet/holds/{hold_id}/use", { path: this.#path, body });
    if (answer.state !== "winding_down") this.#warned = false;
    this.last = answer;
    return answer;
  }
}
