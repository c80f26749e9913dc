import { ConnectionFailedError, Problem } from "./errors.js";
import type { components, paths } from "./schema.js";

/** The types of what is sent and answered, by name. */
export type Schemas = components["schemas"];

type Method = "get" | "post" | "put" | "patch" | "delete";
/** The paths that have this method. */
type PathOf<M extends Method> = { [P in keyof paths]: paths[P][M] extends object ? P : never }[keyof paths];
type Operation<M extends Method, P extends keyof paths> = paths[P][M];

/** In a request an amount is text: 0.1 + 0.2 is a number that nobody meant. */
type Exact<T> = T extends readonly (infer Item)[]
  ? Exact<Item>[]
  : T extends object
    ? { [K in keyof T]: string | number extends T[K] ? Exclude<T[K], number> : Exact<T[K]> }
    : T;

type PathPart<O> = O extends { parameters: { path: infer Values extends object } } ? { path: Values } : unknown;
type QueryPart<O> = O extends { parameters: { query: infer Values extends object } }
  ? { query: Values }
  : O extends { parameters: { query?: infer Values } }
    ? [Values] extends [undefined]
      ? unknown
      : { query?: Values & object }
    : unknown;
type BodyPart<O> = O extends { requestBody: { content: { "application/json": infer Body } } }
  ? { body: Exact<Body> }
  : O extends { requestBody?: { content: { "application/json": infer Body } } }
    ? { body?: Exact<Body> }
    : { body?: object };

/** What one request says. `key` makes a POST safe to send again from your own code: the same key is one request. */
type Request<M extends Method, O> = PathPart<O> &
  QueryPart<O> &
  (M extends "get" | "delete" ? unknown : BodyPart<O>) & { key?: string; signal?: AbortSignal };

type Success = 200 | 201 | 202 | 204;
type Answer<O> = O extends { responses: infer Responses }
  ? {
      [S in keyof Responses & Success]: Responses[S] extends { content: { "application/json": infer Body } } ? Body : void;
    }[keyof Responses & Success]
  : never;

/** No argument where nothing has to be said. */
type Arguments<M extends Method, P extends keyof paths> =
  object extends Request<M, Operation<M, P>> ? [request?: Request<M, Operation<M, P>>] : [request: Request<M, Operation<M, P>>];

export interface Options {
  /** Of the server, such as `https://billing.example.com`. */
  url: string;
  /** An API key. It may do everything that its scopes allow: never send it to a browser. */
  key: string;
  /** Of one attempt, in milliseconds. */
  timeout?: number;
  /** How often what is safe to send again is, when nobody answers or is asked to wait; under the same key. */
  retries?: number;
  /** In place of the platform's own. */
  fetch?: typeof fetch;
}

const AGAIN = new Set([429, 502, 503, 504]);
/** What these do is named by an id in the body or the path, or may be done twice: no other key is needed. */
const KEYED = /\/(usage|adjustments|charges|holds|capture|release|use|balance-tokens)$/;
const WAIT_MS = 250;
const WAIT_MAX_MS = 8_000;
const ASKED_MAX_MS = 60_000;

/** The API, a method for each of HTTP's. Every path and every field is known to the compiler. */
export class Brimful {
  readonly #url: string;
  readonly #key: string;
  readonly #timeout: number;
  readonly #retries: number;
  readonly #fetch: typeof fetch;

  constructor({ url, key, timeout = 30_000, retries = 4, fetch: own = globalThis.fetch }: Options) {
    this.#url = url.replace(/\/+$/, "").replace(/\/v1$/, "");
    this.#key = key;
    this.#timeout = timeout;
    this.#retries = retries;
    this.#fetch = own.bind(globalThis);
  }

  get<P extends PathOf<"get">>(path: P, ...said: Arguments<"get", P>): Promise<Answer<Operation<"get", P>>> {
    return this.#send("get", path, said[0]);
  }

  post<P extends PathOf<"post">>(path: P, ...said: Arguments<"post", P>): Promise<Answer<Operation<"post", P>>> {
    return this.#send("post", path, said[0]);
  }

  put<P extends PathOf<"put">>(path: P, ...said: Arguments<"put", P>): Promise<Answer<Operation<"put", P>>> {
    return this.#send("put", path, said[0]);
  }

  patch<P extends PathOf<"patch">>(path: P, ...said: Arguments<"patch", P>): Promise<Answer<Operation<"patch", P>>> {
    return this.#send("patch", path, said[0]);
  }

  delete<P extends PathOf<"delete">>(path: P, ...said: Arguments<"delete", P>): Promise<Answer<Operation<"delete", P>>> {
    return this.#send("delete", path, said[0]);
  }

  /** @throws {Problem} The server refused. @throws {ConnectionFailedError} It did not answer. */
  async #send<T>(method: Method, path: string, said: Said = {}): Promise<T> {
    const url = this.#url + filled(path, said.path ?? {}) + queried(said.query ?? {});
    const headers: Record<string, string> = { authorization: `Bearer ${this.#key}`, accept: "application/json" };
    const key = said.key ?? (method === "post" && !KEYED.test(path) ? globalThis.crypto.randomUUID() : undefined);
    if (key !== undefined) headers["idempotency-key"] = key;
    if (said.body !== undefined) headers["content-type"] = "application/json";
    const init: RequestInit = { method: method.toUpperCase(), headers };
    if (said.body !== undefined) init.body = JSON.stringify(said.body);
    for (let attempt = 0; ; attempt += 1) {
      const last = method === "delete" || attempt >= this.#retries;
      const answer = await this.#attempt(url, init, said.signal).catch((error: unknown) => {
        said.signal?.throwIfAborted();
        if (last) throw new ConnectionFailedError(`${method.toUpperCase()} ${path}: no answer (${String(error)})`, { cause: error });
        return null;
      });
      if (answer?.ok) return (answer.text === "" ? undefined : JSON.parse(answer.text)) as T;
      if (answer !== null && (last || !answer.again)) throw new Problem(answer.status, problemOf(answer.text));
      await pause(attempt, answer?.retryAfter ?? null, said.signal);
    }
  }

  async #attempt(url: string, init: RequestInit, signal: AbortSignal | undefined): Promise<Received> {
    const limit = AbortSignal.timeout(this.#timeout);
    const answer = await this.#fetch(url, { ...init, signal: signal ? AbortSignal.any([signal, limit]) : limit });
    const text = await answer.text();
    const running = answer.status === 409 && text.includes('"request_in_progress"');
    const again = AGAIN.has(answer.status) || running;
    return { ok: answer.ok, status: answer.status, text, again, retryAfter: answer.headers.get("retry-after") };
  }
}

interface Said {
  path?: object;
  query?: object;
  body?: unknown;
  key?: string;
  signal?: AbortSignal;
}

interface Received {
  ok: boolean;
  status: number;
  text: string;
  again: boolean;
  retryAfter: string | null;
}

function filled(path: string, values: object): string {
  const named = new Map(Object.entries(values).map(([name, value]) => [name, String(value)]));
  return path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = named.get(name);
    if (value === undefined || value === "") throw new TypeError(`${path} needs a ${name}.`);
    return encodeURIComponent(value).replaceAll("%3A", ":");
  });
}

function queried(values: object): string {
  const present = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return present.length ? `?${new URLSearchParams(present.map(([name, value]) => [name, String(value)]))}` : "";
}

function problemOf(text: string): Partial<Schemas["Problem"]> {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body !== null) return body;
  } catch {
    // a proxy's page
  }
  return { detail: text.slice(0, 300) };
}

function pause(attempt: number, asked: string | null, signal: AbortSignal | undefined): Promise<void> {
  const backoff = Math.min(WAIT_MAX_MS, WAIT_MS * 2 ** attempt) * (0.5 + Math.random());
  const wanted = asked !== null && /^\d+$/.test(asked) ? Math.min(Number(asked) * 1000, ASKED_MAX_MS) : 0;
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", stop);
        resolve();
      },
      Math.max(backoff, wanted),
    );
    signal?.addEventListener("abort", stop, { once: true });
  });
}
