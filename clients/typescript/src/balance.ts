/**
 * `<brimful-balance>`: a balance in a page of yours, with how long it lasts and a way to top up.
 *
 *     <brimful-balance server="https://billing.example.com" token-url="/balance-token" asset="USD"
 *                      top-up-url="/billing"></brimful-balance>
 *
 * `token-url` is yours: it answers what `POST /v1/balance-tokens` answered you, for the customer who is signed in.
 * `top-up-url` is yours too: it makes a link into the Billing Portal and redirects there. Neither an API key nor a link
 * into the portal is ever in the page. It needs no inline script or style, so a strict Content Security Policy stays as
 * it is, with the server in `connect-src`.
 *
 * Attributes: `asset` (the first balance if absent), `refresh` (seconds, 30), and the words `top-up-text`, `left-text`
 * (with `{time}`), `auto-text` and `error-text`. Parts to style: `balance`, `left`, `top-up`. After each reading it
 * sends a `brimful-balance` event, whose `detail` is what the API answered; `refresh()` reads at once.
 */

import type { components } from "./schema.js";

type Balance = components["schemas"]["Balance"];
type Token = components["schemas"]["BalanceToken"];

const REFRESH_S = 30;
const DAY_H = 24;
const SOON_MS = 30_000;
const STYLE = `
  :host { display: inline-flex; flex-wrap: wrap; align-items: baseline; gap: 0.25em 0.75em; font: inherit; color: inherit }
  :host([hidden]) { display: none }
  [part="balance"] { font-weight: 600; font-variant-numeric: tabular-nums }
  [part="left"] { opacity: 0.8 }
  [part="top-up"] { color: inherit }
  [hidden] { display: none }
`;

export class BrimfulBalance extends HTMLElement {
  static readonly observedAttributes = ["server", "token-url", "asset", "top-up-url", "refresh", "lang"];

  readonly #balance = part("span", "balance");
  readonly #left = part("span", "left");
  readonly #topUp = part("a", "top-up");
  #token: Token | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #turn = 0;
  #planned = false;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    this.#balance.setAttribute("role", "status");
    root.append(this.#balance, this.#left, this.#topUp);
  }

  connectedCallback(): void {
    document.addEventListener("visibilitychange", this.#seen);
    this.#soon();
  }

  disconnectedCallback(): void {
    document.removeEventListener("visibilitychange", this.#seen);
    clearTimeout(this.#timer);
    this.#turn += 1;
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after || !this.isConnected) return;
    if (name === "server" || name === "token-url") this.#token = null;
    this.#soon();
  }

  /** Once for all attributes: an element that is made from a page gets them one by one. */
  #soon(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      if (this.isConnected) void this.refresh();
    });
  }

  /** Read the balance now. Nothing is thrown: what fails is shown, and tried again. */
  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    const turn = (this.#turn += 1);
    try {
      const items = await this.#read();
      if (turn !== this.#turn) return;
      const asset = this.getAttribute("asset");
      this.#show(asset === null ? items[0] : items.find((item) => item.asset === asset), asset);
      this.dispatchEvent(new CustomEvent("brimful-balance", { detail: items, bubbles: true, composed: true }));
    } catch {
      if (turn !== this.#turn) return;
      this.#balance.textContent = this.getAttribute("error-text") ?? "Balance unavailable";
      this.#left.hidden = true;
    }
    const seconds = Number(this.getAttribute("refresh") ?? REFRESH_S);
    if (seconds > 0) this.#timer = setTimeout(() => this.#again(), seconds * 1000);
  }

  readonly #seen = (): void => {
    if (document.visibilityState === "visible") void this.refresh();
  };

  #again(): void {
    if (document.visibilityState === "visible") void this.refresh(); // a page that nobody sees asks nobody
  }

  async #read(): Promise<Balance[]> {
    for (let attempt = 0; ; attempt += 1) {
      const token = await this.#fresh();
      const answer = await fetch(new URL("/v1/balances", this.getAttribute("server") ?? ""), {
        headers: { authorization: `Bearer ${token.token}` },
        credentials: "omit",
        cache: "no-store",
      });
      if (answer.ok) return ((await answer.json()) as { items: Balance[] }).items;
      this.#token = null;
      if (answer.status !== 401 || attempt > 0) throw new Error(`The server answered ${answer.status}.`);
    }
  }

  async #fresh(): Promise<Token> {
    if (this.#token === null || Date.parse(this.#token.expires_at) - Date.now() < SOON_MS) {
      const answer = await fetch(new URL(this.getAttribute("token-url") ?? "", document.baseURI), { cache: "no-store" });
      if (!answer.ok) throw new Error(`token-url answered ${answer.status}.`);
      this.#token = (await answer.json()) as Token;
    }
    return this.#token;
  }

  #show(balance: Balance | undefined, asset: string | null): void {
    const nothing: Balance | undefined = asset === null ? undefined : unused(asset);
    const shown = balance ?? nothing;
    this.#balance.textContent = shown === undefined ? "" : this.#amount(shown);
    const left = shown === undefined ? "" : this.#lasts(shown);
    this.#left.textContent = left;
    this.#left.hidden = left === "";
    const url = this.getAttribute("top-up-url");
    this.#topUp.textContent = this.getAttribute("top-up-text") ?? "Top up";
    this.#topUp.hidden = url === null;
    if (url !== null) this.#topUp.href = url;
  }

  get #language(): string | undefined {
    return (this.closest<HTMLElement>("[lang]")?.lang ?? "") || undefined;
  }

  /** Exact: a decimal text is formatted as it is, never as a number of 53 bits. */
  #amount(balance: Balance): string {
    const amount = balance.available as Intl.StringNumericLiteral;
    const decimals = { maximumFractionDigits: Math.max(2, (balance.available.split(".")[1] ?? "").length) };
    if (balance.currency) {
      const style = { style: "currency", currency: balance.asset, ...decimals } as const;
      return new Intl.NumberFormat(this.#language, style).format(amount);
    }
    return `${new Intl.NumberFormat(this.#language, decimals).format(amount)} ${balance.name}`;
  }

  #lasts(balance: Balance): string {
    if (balance.auto_top_up) return this.getAttribute("auto-text") ?? "Auto top-up is on";
    if (balance.runs_dry_at === null) return "";
    const hours = Math.max(0, Date.parse(balance.runs_dry_at) - Date.now()) / 3_600_000;
    const [count, unit] = hours < 2 * DAY_H ? [Math.floor(hours), "hour"] : [Math.floor(hours / DAY_H), "day"];
    const time = new Intl.NumberFormat(this.#language, { style: "unit", unit, unitDisplay: "long" }).format(count);
    return (this.getAttribute("left-text") ?? "{time} left").replace("{time}", time);
  }
}

function part<T extends "span" | "a">(name: T, kind: string): HTMLElementTagNameMap[T] {
  const element = document.createElement(name);
  element.setAttribute("part", kind);
  element.hidden = kind !== "balance";
  return element;
}

/** A balance that was never used is zero; whether its asset is money is told by its code. */
function unused(asset: string): Balance {
  const currency = /^[A-Z]{3}$/.test(asset);
  return { asset, name: asset, currency, symbol: null, available: "0", runs_dry_at: null, auto_top_up: false };
}

if (!customElements.get("brimful-balance")) customElements.define("brimful-balance", BrimfulBalance);

declare global {
  interface HTMLElementTagNameMap {
    "brimful-balance": BrimfulBalance;
  }
}
