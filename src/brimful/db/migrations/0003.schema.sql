-- The tables of Brimful. docs/tables.md tells how each is spread when the database is distributed:
-- customer data leads every key with customer_id; look-ups by anything else go through aliases.
SET LOCAL ROLE brimful_owner;

SET LOCAL lock_timeout = '5s';

-- Reference ------------------------------------------------------------------------------------------

CREATE TABLE assets (
    code text PRIMARY KEY CHECK (code ~ '^[A-Z][A-Z0-9_]{1,31}$'),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    kind text NOT NULL CHECK (kind IN ('currency', 'unit')),
    scale smallint NOT NULL CHECK (scale BETWEEN 0 AND 12),
    label text CHECK (length(label) <= 50),
    symbol text CHECK (length(symbol) <= 8),
    created_at timestamptz NOT NULL,
    CHECK (kind = 'unit' OR code ~ '^[A-Z]{3}$')
);

-- The price of one unit of the asset in a currency, from valid_from until valid_to.
CREATE TABLE rates (
    asset text NOT NULL REFERENCES assets,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to > valid_from),
    rate numeric(38, 12) NOT NULL CHECK (rate > 0),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (asset, currency, valid_from)
);

-- Customer data --------------------------------------------------------------------------------------

CREATE TABLE customers (
    customer_id text PRIMARY KEY CHECK (customer_id LIKE 'cus\_%'),
    external_id text CHECK (length(external_id) BETWEEN 1 AND 255),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email text CHECK (length(email) <= 320),
    time_zone text NOT NULL DEFAULT 'UTC',
    metadata jsonb NOT NULL DEFAULT '{}',
    external_accounts jsonb NOT NULL DEFAULT '[]',
    stripe_customer_id text,
    created_at timestamptz NOT NULL
);

-- One balance in one asset. armed_below is derived by auto_topup.trigger.rearm and by nothing else:
-- the hot path compares the balance with it and reads no other table.
CREATE TABLE accounts (
    customer_id text NOT NULL REFERENCES customers,
    asset text NOT NULL REFERENCES assets,
    balance numeric(38, 12) NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    mac bytea NOT NULL DEFAULT '' CHECK (octet_length(mac) = CASE WHEN seq = 0 THEN 0 ELSE 17 END),
    armed_below numeric(38, 12),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, asset)
) WITH (fillfactor = 70);

-- The sweep looks at armed accounts only. The balance is not in the index, so that debits stay HOT.
CREATE INDEX accounts_armed ON accounts (customer_id, asset) WHERE armed_below IS NOT NULL;

CREATE TABLE entries (
    customer_id text NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    entry_id text NOT NULL,
    kind text NOT NULL,
    amount numeric(38, 12) NOT NULL,
    balance_after numeric(38, 12) NOT NULL,
    source text NOT NULL CHECK (source IN ('usage', 'api', 'stripe', 'system')),
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    payment_id text,
    money_minor bigint,
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    mac bytea NOT NULL CHECK (octet_length(mac) = 17),
    PRIMARY KEY (customer_id, asset, seq),
    UNIQUE (customer_id, source, key),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts,
    CONSTRAINT entries_sign CHECK (
        CASE kind
            WHEN 'usage' THEN amount < 0 AND source = 'usage'
            WHEN 'charge' THEN amount < 0 AND source = 'api'
            WHEN 'adjustment' THEN amount <> 0 AND source IN ('api', 'system')
            WHEN 'top_up' THEN amount > 0 AND money_minor > 0 AND source = 'stripe'
            WHEN 'refund' THEN amount <= 0 AND money_minor < 0 AND source = 'stripe'
            WHEN 'dispute' THEN amount <= 0 AND money_minor < 0 AND source = 'stripe'
            WHEN 'reinstatement' THEN amount >= 0 AND money_minor > 0 AND source = 'stripe'
            ELSE false
        END
    ),
    CONSTRAINT entries_money CHECK (
        (money_minor IS NULL) = (currency IS NULL)
        AND (money_minor IS NULL) = (payment_id IS NULL)
        AND (money_minor IS NULL) = (kind IN ('usage', 'charge', 'adjustment'))
    )
);

-- Free text beside the ledger, so that it can be erased without touching the chain.
CREATE TABLE entry_notes (
    customer_id text NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    description text CHECK (length(description) <= 500),
    metadata jsonb,
    PRIMARY KEY (customer_id, asset, seq),
    FOREIGN KEY (customer_id, asset, seq) REFERENCES entries
);

CREATE TABLE cards (
    customer_id text NOT NULL REFERENCES customers,
    card_id text NOT NULL,
    stripe_payment_method_id text NOT NULL,
    fingerprint text NOT NULL,
    brand text NOT NULL,
    last4 text NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    exp_month smallint NOT NULL CHECK (exp_month BETWEEN 1 AND 12),
    exp_year smallint NOT NULL CHECK (exp_year BETWEEN 2000 AND 2200),
    state text NOT NULL CHECK (state IN ('active', 'blocked', 'detached')),
    state_reason text,
    is_default boolean NOT NULL DEFAULT false,
    consent_id text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, card_id),
    UNIQUE (customer_id, stripe_payment_method_id)
);

-- Insert-only. A withdrawal is a row that names the consent it ends. What identifies a person (text,
-- address, agent) lies in consent_evidence; evidence_hash, salted, binds the two.
CREATE TABLE consents (
    customer_id text NOT NULL REFERENCES customers,
    consent_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('save_card', 'auto_top_up')),
    action text NOT NULL CHECK (action IN ('given', 'withdrawn')),
    withdraws text,
    asset text REFERENCES assets,
    card_id text,
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    threshold numeric(38, 12),
    amount_minor bigint,
    limit_minor bigint,
    terms_version text NOT NULL,
    locale text NOT NULL,
    text_hash bytea NOT NULL,
    evidence_hash bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, consent_id),
    FOREIGN KEY (customer_id, card_id) REFERENCES cards,
    FOREIGN KEY (customer_id, withdraws) REFERENCES consents,
    CHECK ((action = 'withdrawn') = (withdraws IS NOT NULL)),
    CHECK (
        kind = 'save_card'
        OR (asset IS NOT NULL AND card_id IS NOT NULL AND currency IS NOT NULL AND threshold IS NOT NULL
            AND amount_minor > 0 AND limit_minor >= amount_minor)
    )
);

CREATE UNIQUE INDEX consents_withdrawn_once ON consents (customer_id, withdraws) WHERE withdraws IS NOT NULL;

CREATE TABLE consent_evidence (
    customer_id text NOT NULL,
    consent_id text NOT NULL,
    rendered text NOT NULL,
    salt bytea NOT NULL CHECK (octet_length(salt) = 32),
    address text,
    agent text,
    session_id text NOT NULL,
    PRIMARY KEY (customer_id, consent_id),
    FOREIGN KEY (customer_id, consent_id) REFERENCES consents
);

CREATE TABLE rules (
    customer_id text NOT NULL,
    asset text NOT NULL,
    enabled boolean NOT NULL,
    card_id text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    threshold numeric(38, 12) NOT NULL CHECK (threshold > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    limit_minor bigint NOT NULL CHECK (limit_minor >= amount_minor),
    consent_id text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, asset),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts,
    FOREIGN KEY (customer_id, card_id) REFERENCES cards,
    FOREIGN KEY (customer_id, consent_id) REFERENCES consents
);

-- What the engine keeps about a rule. reason is why nothing is charged now, or why something is.
CREATE TABLE rule_states (
    customer_id text NOT NULL,
    asset text NOT NULL,
    paused_at timestamptz,
    pause_reason text,
    not_before timestamptz,
    wake_at timestamptz,
    reason text NOT NULL,
    reason_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, asset),
    FOREIGN KEY (customer_id, asset) REFERENCES rules,
    CHECK ((paused_at IS NULL) = (pause_reason IS NULL))
);

CREATE INDEX rule_states_wake ON rule_states (wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE top_ups (
    customer_id text NOT NULL,
    top_up_id text NOT NULL,
    asset text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('automatic', 'manual')),
    state text NOT NULL CHECK (state IN ('requested', 'intent_created', 'confirming', 'processing', 'unknown',
        'action_required', 'retry_wait', 'canceling', 'succeeded', 'failed', 'canceled')),
    next_state text CHECK (next_state IN ('retry_wait', 'action_required', 'failed', 'canceled')),
    reason text,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    units numeric(38, 12) NOT NULL CHECK (units > 0),
    rate numeric(38, 12) NOT NULL CHECK (rate > 0),
    card_id text,
    consent_id text,
    rule_version integer,
    limit_month date,
    fence integer NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    polls integer NOT NULL DEFAULT 0,
    needs_review boolean NOT NULL DEFAULT false,
    wake_at timestamptz,
    expires_at timestamptz,
    requested_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    ended_at timestamptz,
    balance_after numeric(38, 12),
    return_url text,
    failure_url text,
    description text CHECK (length(description) <= 500),
    metadata jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (customer_id, top_up_id),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts,
    FOREIGN KEY (customer_id, card_id) REFERENCES cards,
    FOREIGN KEY (customer_id, consent_id) REFERENCES consents,
    CHECK ((ended_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'canceled'))),
    CHECK ((next_state IS NOT NULL) = (state = 'canceling')),
    CHECK (ended_at IS NULL OR wake_at IS NULL),
    CHECK (kind = 'manual' OR (card_id IS NOT NULL AND consent_id IS NOT NULL AND rule_version IS NOT NULL
        AND limit_month IS NOT NULL))
);

-- The lock of the product: one live automatic top-up per account, whoever inserts it.
CREATE UNIQUE INDEX top_ups_one_live_automatic ON top_ups (customer_id, asset)
    WHERE kind = 'automatic' AND ended_at IS NULL;

CREATE INDEX top_ups_by_account ON top_ups (customer_id, asset, requested_at DESC);

CREATE INDEX top_ups_wake ON top_ups (wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE payments (
    customer_id text NOT NULL,
    payment_id text NOT NULL,
    top_up_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('intent', 'checkout')),
    presence text NOT NULL CHECK (presence IN ('off_session', 'on_session')),
    state text NOT NULL CHECK (state IN ('new', 'created', 'confirming', 'succeeded', 'canceled', 'expired',
        'abandoned')),
    card_id text,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    stripe_intent_id text,
    stripe_session_id text,
    redirect_url text,
    setup_id text,
    error_code text,
    decline_code text,
    advice_code text,
    created_at timestamptz NOT NULL,
    confirm_sent_at timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (customer_id, payment_id),
    FOREIGN KEY (customer_id, top_up_id) REFERENCES top_ups,
    FOREIGN KEY (customer_id, card_id) REFERENCES cards,
    CHECK ((closed_at IS NOT NULL) = (state IN ('succeeded', 'canceled', 'expired', 'abandoned'))),
    CHECK (state <> 'abandoned' OR confirm_sent_at IS NULL)
);

-- A top-up leaves a payment only when its end was read, so it never has two open ones.
CREATE UNIQUE INDEX payments_one_open ON payments (customer_id, top_up_id) WHERE closed_at IS NULL;

CREATE INDEX payments_by_top_up ON payments (customer_id, top_up_id, created_at);

-- A card being added: by Checkout in setup mode, or beside a payment when its save box was ticked.
-- The inbox may make a card only from an open row, which it closes.
CREATE TABLE card_setups (
    customer_id text NOT NULL REFERENCES customers,
    setup_id text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('setup', 'payment')),
    state text NOT NULL CHECK (state IN ('open', 'completed', 'expired')),
    consent_id text NOT NULL,
    stripe_session_id text,
    session_id text NOT NULL,
    card_id text,
    return_to text,
    created_at timestamptz NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (customer_id, setup_id),
    FOREIGN KEY (customer_id, consent_id) REFERENCES consents,
    FOREIGN KEY (customer_id, card_id) REFERENCES cards,
    CHECK ((closed_at IS NULL) = (state = 'open')),
    CHECK ((card_id IS NOT NULL) = (state = 'completed'))
);

CREATE INDEX card_setups_recent ON card_setups (customer_id, created_at);

-- Local ----------------------------------------------------------------------------------------------

-- Finds the customer (and the thing) behind any name that is not led by customer_id.
CREATE TABLE aliases (
    kind text NOT NULL CHECK (kind IN ('external_id', 'stripe_customer', 'payment_intent', 'checkout_session',
        'payment_method', 'top_up')),
    value text NOT NULL,
    customer_id text NOT NULL,
    target_id text NOT NULL,
    PRIMARY KEY (kind, value)
);

-- Tries of one physical card over all accounts and customers: an open claim, or a decline.
CREATE TABLE card_tries (
    payment_id text PRIMARY KEY,
    fingerprint text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'declined', 'hard')),
    at timestamptz NOT NULL
);

CREATE INDEX card_tries_recent ON card_tries (fingerprint, at);

CREATE TABLE stripe_events (
    event_id text PRIMARY KEY,
    type text NOT NULL,
    object_id text,
    livemode boolean NOT NULL,
    created_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('received', 'done', 'ignored', 'quarantined')),
    outcome text,
    processed_at timestamptz
);

CREATE INDEX stripe_events_waiting ON stripe_events (received_at) WHERE state = 'received';

CREATE TABLE outgoing_events (
    event_id text PRIMARY KEY,
    customer_id text,
    type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX outgoing_events_by_customer ON outgoing_events (customer_id, event_id);

CREATE TABLE api_keys (
    key_id text PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE portal_links (
    link_id text PRIMARY KEY,
    customer_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('portal', 'payment')),
    top_up_id text,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    return_url text,
    failure_url text,
    flow text NOT NULL DEFAULT 'overview' CHECK (flow IN ('overview', 'top_up', 'auto_top_up', 'cards', 'pay')),
    asset text,
    locale text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CHECK ((kind = 'payment') = (top_up_id IS NOT NULL))
);

CREATE TABLE portal_sessions (
    session_id text PRIMARY KEY,
    link_id text NOT NULL REFERENCES portal_links,
    customer_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('portal', 'payment')),
    top_up_id text,
    cookie_hash bytea NOT NULL UNIQUE CHECK (octet_length(cookie_hash) = 32),
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE TABLE idempotency (
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    route text NOT NULL,
    request_hash bytea NOT NULL,
    status smallint NOT NULL,
    response jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (route, key)
);

CREATE TABLE audit (
    audit_id text PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    customer_id text,
    before jsonb,
    after jsonb
);

CREATE INDEX audit_by_customer ON audit (customer_id, audit_id);

-- One row: whether payments may be sent at all. Opened again by a good answer from Stripe.
CREATE TABLE charging (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    open boolean NOT NULL DEFAULT true,
    reason text,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO charging DEFAULT VALUES;

INSERT INTO assets (code, name, kind, scale, label, symbol, created_at)
VALUES ('USD', 'US dollars', 'currency', 6, NULL, '$', clock_timestamp()),
    ('EUR', 'Euros', 'currency', 6, NULL, '€', clock_timestamp()),
    ('GBP', 'Pounds sterling', 'currency', 6, NULL, '£', clock_timestamp());

-- Views ----------------------------------------------------------------------------------------------

-- Double entry without a hot row: the kind of an entry names its other side.
CREATE VIEW trial_balance AS
SELECT asset, currency, contra AS account, -sum(amount) AS units, -sum(money_minor) AS money_minor
FROM (
    SELECT asset, currency, amount, money_minor,
        CASE kind
            WHEN 'usage' THEN 'revenue'
            WHEN 'charge' THEN 'revenue'
            WHEN 'adjustment' THEN 'adjustments'
            ELSE 'stripe_clearing'
        END AS contra
    FROM entries
) AS sides
GROUP BY asset, currency, contra
UNION ALL
SELECT asset, NULL, 'wallets', sum(balance), NULL FROM accounts GROUP BY asset;

RESET ROLE;
