-- The tables of Brimful. docs/tables.md says how each is placed when the database is distributed:
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
    -- How far below zero a hold may take an account, while a top-up that covers it is in flight.
    bridge_max numeric(38, 12) NOT NULL DEFAULT 0 CHECK (bridge_max >= 0),
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
    customer_id uuid PRIMARY KEY CHECK (customer_id <> '00000000-0000-0000-0000-000000000000'),
    external_id text CHECK (length(external_id) BETWEEN 1 AND 255),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email text CHECK (length(email) <= 320),
    time_zone text NOT NULL DEFAULT 'UTC',
    metadata jsonb NOT NULL DEFAULT '{}',
    external_accounts jsonb NOT NULL DEFAULT '[]',
    stripe_customer_id text,
    created_at timestamptz NOT NULL,
    locale text CHECK (locale ~ '^[a-z]{2}$'),
    erased_at timestamptz  -- nothing of an erased customer can be changed or opened again
);

-- One balance in one asset. `held` is the sum of the account's open holds; available is balance - held.
-- `trigger_below` is derived by auto_top_up.evaluate.reevaluate and by nothing else: the hot path compares what is
-- available with it (and with `alert_below`) and reads no other table.
CREATE TABLE accounts (
    customer_id uuid NOT NULL REFERENCES customers,
    asset text NOT NULL REFERENCES assets,
    balance numeric(38, 12) NOT NULL DEFAULT 0,
    seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    mac bytea NOT NULL DEFAULT '' CHECK (octet_length(mac) = CASE WHEN seq = 0 THEN 0 ELSE 17 END),
    trigger_below numeric(38, 12),
    created_at timestamptz NOT NULL,
    held numeric(38, 12) NOT NULL DEFAULT 0 CHECK (held >= 0),
    alert_below numeric(38, 12),
    PRIMARY KEY (customer_id, asset)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- The sweep reads accounts with a trigger only. The balance is not in the index, so that debits stay HOT.
CREATE INDEX accounts_triggered ON accounts (customer_id, asset) WHERE trigger_below IS NOT NULL;

-- No foreign key to accounts: every entry is written under the lock of its account, no service role may delete or
-- rename one, and `verify` names entries without an account. The check per row cost a fifth of a batch
-- (docs/performance.md).
--
-- In an order that pads nothing: what is eight bytes wide first. `key_digest` stands for source and key in the unique
-- index (ledger/keys.py); an entry's id is its mac.
CREATE TABLE entries (
    customer_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    key_digest bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    occurred_at timestamptz,  -- where it was given; else when it was recorded
    money_minor bigint,
    asset text NOT NULL,
    kind text NOT NULL,
    source text NOT NULL CHECK (source IN ('usage', 'hold', 'api', 'stripe', 'system')),
    amount numeric(38, 12) NOT NULL,
    balance_after numeric(38, 12) NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    payment_id text,
    currency text CHECK (currency ~ '^[A-Z]{3}$'),
    mac bytea NOT NULL CHECK (octet_length(mac) = 17),
    PRIMARY KEY (customer_id, asset, seq),
    UNIQUE (customer_id, key_digest),
    CONSTRAINT entries_sign CHECK (
        CASE kind
            WHEN 'usage' THEN amount < 0 AND source IN ('usage', 'hold')
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
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Entries that moved money, which are few: verification and reversals find them without reading usage.
CREATE INDEX entries_paid ON entries (customer_id, payment_id) WHERE payment_id IS NOT NULL;

-- Free text beside the ledger, so that it can be erased without touching the chain.
CREATE TABLE entry_notes (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    description text CHECK (length(description) <= 500),
    metadata jsonb,
    PRIMARY KEY (customer_id, asset, seq),
    FOREIGN KEY (customer_id, asset, seq) REFERENCES entries
);

CREATE TABLE cards (
    customer_id uuid NOT NULL REFERENCES customers,
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
    expiry_notified date,  -- the month of expiry that the customer was notified about
    PRIMARY KEY (customer_id, card_id),
    UNIQUE (customer_id, stripe_payment_method_id)
);

CREATE INDEX cards_expiring ON cards (exp_year, exp_month) WHERE state = 'active';

-- Insert-only. A withdrawal is a row that names the consent it ends. What identifies a person (text,
-- address, agent) lies in consent_evidence; evidence_hash, salted, binds the two.
CREATE TABLE consents (
    customer_id uuid NOT NULL REFERENCES customers,
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
    customer_id uuid NOT NULL,
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
    customer_id uuid NOT NULL,
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
    customer_id uuid NOT NULL,
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
    customer_id uuid NOT NULL,
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
    failures integer NOT NULL DEFAULT 0,
    available_after numeric(38, 12),  -- once credited: whether it left the account below its threshold
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

-- The lock of the product: one live automatic top-up per account.
CREATE UNIQUE INDEX top_ups_one_live_automatic ON top_ups (customer_id, asset)
    WHERE kind = 'automatic' AND ended_at IS NULL;

CREATE INDEX top_ups_by_account ON top_ups (customer_id, asset, requested_at DESC);

CREATE INDEX top_ups_wake ON top_ups (wake_at) WHERE wake_at IS NOT NULL;

CREATE INDEX top_ups_to_review ON top_ups (customer_id, top_up_id) WHERE needs_review;

-- The newest of all customers, and the owner of a top-up: automatic ones have no alias.
CREATE INDEX top_ups_newest ON top_ups (top_up_id DESC);

CREATE INDEX top_ups_ended ON top_ups (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE payments (
    customer_id uuid NOT NULL,
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
    receipt_url text,  -- Stripe's own receipt, where there is one
    PRIMARY KEY (customer_id, payment_id),
    FOREIGN KEY (customer_id, top_up_id) REFERENCES top_ups,
    FOREIGN KEY (customer_id, card_id) REFERENCES cards,
    CHECK ((closed_at IS NOT NULL) = (state IN ('succeeded', 'canceled', 'expired', 'abandoned'))),
    CHECK (state <> 'abandoned' OR confirm_sent_at IS NULL)
);

-- A top-up leaves a payment only when its end was read, so it never has two open ones.
CREATE UNIQUE INDEX payments_one_open ON payments (customer_id, top_up_id) WHERE closed_at IS NULL;

CREATE INDEX payments_by_top_up ON payments (customer_id, top_up_id, created_at);

-- One refund of one payment. Ours begin as `requested`, before Stripe is asked; those made at Stripe are
-- recorded when an event names them. stripe_refund_id keys the entries.
CREATE TABLE refunds (
    customer_id uuid NOT NULL,
    refund_id text NOT NULL,
    payment_id text NOT NULL,
    stripe_refund_id text,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    state text NOT NULL CHECK (state IN ('requested', 'pending', 'succeeded', 'failed', 'canceled', 'refused')),
    reason text,
    actor text NOT NULL,
    wake_at timestamptz,
    polls integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (customer_id, refund_id),
    UNIQUE (customer_id, stripe_refund_id),
    FOREIGN KEY (customer_id, payment_id) REFERENCES payments,
    CHECK ((closed_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'canceled', 'refused'))),
    CHECK (stripe_refund_id IS NOT NULL OR state IN ('requested', 'refused'))
);

CREATE INDEX refunds_by_payment ON refunds (customer_id, payment_id);

CREATE INDEX refunds_wake ON refunds (wake_at) WHERE wake_at IS NOT NULL;

-- One dispute, as last read. The money moves when Stripe withdraws or reinstates it, once each.
CREATE TABLE disputes (
    customer_id uuid NOT NULL,
    dispute_id text NOT NULL,
    payment_id text NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status text NOT NULL,
    reason text,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (customer_id, dispute_id),
    FOREIGN KEY (customer_id, payment_id) REFERENCES payments
);

CREATE INDEX disputes_by_payment ON disputes (customer_id, payment_id);

-- A card being added: by Checkout in setup mode, or beside a payment when its save box was ticked.
-- The inbox may make a card only from an open row, which it closes.
CREATE TABLE card_setups (
    customer_id uuid NOT NULL REFERENCES customers,
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

-- Cards that were added within the last hour, for the limits against card testing.
CREATE INDEX card_setups_completed ON card_setups (created_at) WHERE state = 'completed';

-- Units set aside for a job whose cost is not known yet.
CREATE TABLE holds (
    customer_id uuid NOT NULL,
    hold_id text NOT NULL CHECK (hold_id ~ '^[A-Za-z0-9._:~-]{1,128}$'),
    asset text NOT NULL,
    amount numeric(38, 12) NOT NULL CHECK (amount > 0),
    state text NOT NULL CHECK (state IN ('open', 'captured', 'released', 'expired')),
    captured numeric(38, 12) CHECK (captured > 0),
    description text CHECK (length(description) <= 500),
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (customer_id, hold_id),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts (customer_id, asset),
    CHECK ((ended_at IS NULL) = (state = 'open')),
    CHECK ((captured IS NOT NULL) = (state = 'captured'))
);

CREATE INDEX holds_expiring ON holds (expires_at) WHERE state = 'open';

CREATE INDEX holds_open ON holds (customer_id, asset) WHERE state = 'open';

CREATE INDEX holds_newest ON holds (customer_id, created_at, hold_id);

-- Balance alerts, whether the account is topped up or not. `level` is what was sent last.
CREATE TABLE alerts (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    threshold numeric(38, 12) NOT NULL CHECK (threshold > 0),
    level text NOT NULL CHECK (level IN ('ok', 'low', 'depleted')),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, asset),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts (customer_id, asset)
);

-- E-mails to customers, at most one per event. The address is kept only where it is no longer the customer's own: the old
-- one is notified of the change.
CREATE TABLE emails (
    customer_id uuid NOT NULL REFERENCES customers,
    event_id text NOT NULL,
    address text CHECK (length(address) <= 320),
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    PRIMARY KEY (customer_id, event_id)
);

-- How far each account's chain has been verified. The mark is signed with the ledger's key: one that was
-- changed is not believed, and the account is read from its beginning.
CREATE TABLE verified_marks (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    balance numeric(38, 12) NOT NULL,
    mac bytea NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (customer_id, asset)
);

-- Usage that has left the ledger for a file. What stays: a signed checkpoint of each chain, the keys (an id is never used
-- twice), and every entry that is not usage.
CREATE TABLE archive_marks (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),  -- usage up to here is in the archive
    balance numeric(38, 12) NOT NULL,
    mac bytea NOT NULL CHECK (octet_length(mac) = 17),
    dropped numeric(38, 12) NOT NULL,  -- the sum of what is in the archive alone
    kept bytea NOT NULL CHECK (octet_length(kept) = 32),  -- a hash of the entries up to here that stay
    signature bytea NOT NULL,
    archived_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, asset)
);

CREATE TABLE archived_keys (
    customer_id uuid NOT NULL,
    key_digest bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    asset text NOT NULL,
    amount numeric(38, 12) NOT NULL,
    balance_after numeric(38, 12) NOT NULL,
    key text NOT NULL,
    PRIMARY KEY (customer_id, key_digest)
);

-- Local ----------------------------------------------------------------------------------------------

-- Finds the customer (and the thing) behind any name that is not led by customer_id.
CREATE TABLE aliases (
    kind text NOT NULL CHECK (kind IN ('external_id', 'stripe_customer', 'payment_intent', 'checkout_session',
        'payment_method', 'top_up')),
    value text NOT NULL,
    customer_id uuid NOT NULL,
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
    processed_at timestamptz,
    failures integer NOT NULL DEFAULT 0
);

CREATE INDEX stripe_events_waiting ON stripe_events (received_at) WHERE state = 'received';

CREATE INDEX stripe_events_newest ON stripe_events (received_at);

CREATE INDEX stripe_events_setup_failed ON stripe_events (received_at) WHERE type = 'setup_intent.setup_failed';

-- Events that came with a wrong signature: the doctor distinguishes a wrong secret from a quiet day by them.
CREATE TABLE webhook_rejections (
    day date PRIMARY KEY,
    count bigint NOT NULL,
    last_at timestamptz NOT NULL
);

CREATE TABLE outgoing_events (
    event_id text PRIMARY KEY,
    customer_id uuid,
    type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE INDEX outgoing_events_by_customer ON outgoing_events (customer_id, event_id);

-- Outgoing webhooks: where events go, and how each delivery stands.
CREATE TABLE webhook_endpoints (
    endpoint_id text PRIMARY KEY,
    url text NOT NULL CHECK (length(url) <= 2000),
    topics text[] NOT NULL CHECK (cardinality(topics) > 0),
    enabled boolean NOT NULL,
    disabled_reason text,
    failing_since timestamptz,
    secret text NOT NULL,
    old_secret text,
    old_secret_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
    CHECK (disabled_reason IS NULL OR NOT enabled)
);

CREATE TABLE deliveries (
    event_id text NOT NULL REFERENCES outgoing_events,
    -- No foreign key: a webhook that is deleted meanwhile must never break the movement that the event announces.
    endpoint_id text NOT NULL,
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'succeeded', 'failed')),
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_at timestamptz,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (event_id, endpoint_id),
    CHECK ((state = 'pending') = (next_at IS NOT NULL)),
    CHECK ((state = 'pending') = (ended_at IS NULL))
);

CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';

CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, event_id);

CREATE TABLE delivery_attempts (
    event_id text NOT NULL,
    endpoint_id text NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    status integer,
    error text,
    took_ms integer NOT NULL,
    PRIMARY KEY (event_id, endpoint_id, at),
    FOREIGN KEY (event_id, endpoint_id) REFERENCES deliveries ON DELETE CASCADE
);

CREATE TABLE api_keys (
    key_id text PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz  -- to the hour
);

CREATE TABLE portal_links (
    link_id text PRIMARY KEY,
    customer_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('portal', 'payment', 'turn_off')),
    top_up_id text,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    return_url text,
    failure_url text,
    flow text NOT NULL DEFAULT 'overview' CHECK (flow IN ('overview', 'top_up', 'auto_top_up', 'cards', 'pay', 'turn_off')),
    asset text,
    locale text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CHECK ((kind = 'payment') = (top_up_id IS NOT NULL)),
    CONSTRAINT portal_links_turn_off CHECK (kind <> 'turn_off' OR asset IS NOT NULL)
);

-- Sessions and links that ended long ago are deleted by the worker.
CREATE INDEX portal_links_over ON portal_links (expires_at);

CREATE TABLE portal_sessions (
    session_id text PRIMARY KEY,
    link_id text NOT NULL REFERENCES portal_links,
    customer_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('portal', 'payment', 'turn_off')),
    top_up_id text,
    cookie_hash bytea NOT NULL UNIQUE CHECK (octet_length(cookie_hash) = 32),
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    locale text CHECK (locale ~ '^[a-z]{2}$'),
    stepped_up_at timestamptz,
    -- The address (a hash) whose mailbox gave the code: trust ends with it.
    stepped_up_for bytea CHECK (octet_length(stepped_up_for) = 32)
);

CREATE INDEX portal_sessions_over ON portal_sessions (expires_at);

CREATE INDEX portal_sessions_of_link ON portal_sessions (link_id);

-- Codes by mail, required before a card or a consent is changed.
CREATE TABLE step_up_codes (
    session_id text NOT NULL REFERENCES portal_sessions ON DELETE CASCADE,
    sent_at timestamptz NOT NULL,
    customer_id uuid NOT NULL,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    expires_at timestamptz NOT NULL,
    tries integer NOT NULL,
    PRIMARY KEY (session_id, sent_at)
);

CREATE INDEX step_up_codes_recent ON step_up_codes (customer_id, sent_at);

-- Cards that one address is about to add, in windows of an hour. The address is a hash, deleted after two hours.
CREATE TABLE card_attempts (
    address_hash bytea NOT NULL CHECK (octet_length(address_hash) = 32),
    hour timestamptz NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (address_hash, hour)
);

CREATE TABLE operators (
    operator_id text PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'),
    role text NOT NULL CHECK (role IN ('viewer', 'operator')),
    password_hash text NOT NULL,
    totp_secret text NOT NULL,
    totp_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz
);

-- Attempts to sign in, by address and ('') from everywhere, within a quarter of an hour.
CREATE TABLE operator_tries (
    operator_id text NOT NULL REFERENCES operators,
    address text NOT NULL,
    tries integer NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (operator_id, address)
);

CREATE TABLE operator_sessions (
    session_id text PRIMARY KEY,
    operator_id text NOT NULL REFERENCES operators,
    cookie_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

CREATE INDEX operator_sessions_over ON operator_sessions (expires_at);

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
    customer_id uuid,
    before jsonb,
    after jsonb
);

CREATE INDEX audit_by_customer ON audit (customer_id, audit_id);

-- Charging is suspended while a row stands here. `key`: Stripe refuses the platform's key. `operator`: a person stopped
-- it. `restore`: the database went back in time; reconciliation resumes it.
CREATE TABLE suspensions (
    kind text PRIMARY KEY CHECK (kind IN ('key', 'operator', 'restore')),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    since timestamptz NOT NULL,
    probed_at timestamptz NOT NULL,
    actor text NOT NULL
);

-- One row: which database this is and how far it has come. `heartbeat` only rises; a process that is still running, or
-- the file of BRIMFUL_EPOCH_FILE, knows when it has gone back.
CREATE TABLE restore_guard (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch integer NOT NULL DEFAULT 1,
    system_identifier bigint,
    timeline integer,
    heartbeat bigint NOT NULL DEFAULT 0,
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    restored_to timestamptz,
    reconciled_at timestamptz
);

INSERT INTO restore_guard DEFAULT VALUES;

-- One row: the settings that the installation's workers share, as digests by name. The worker that starts last publishes
-- its own; one with others takes no part.
CREATE TABLE installation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    settings jsonb NOT NULL DEFAULT '{}',
    published_at timestamptz
);

INSERT INTO installation DEFAULT VALUES;

-- Worker processes, as they last reported.
CREATE UNLOGGED TABLE workers (
    worker_id text PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    settings jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Differences between our books and Stripe's that a person has reviewed and accepted.
CREATE TABLE accepted_differences (
    payment_id text PRIMARY KEY,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    actor text NOT NULL,
    at timestamptz NOT NULL
);

-- The latest result of each invariant: what /metrics shows. `figures`: how far the books differ, by currency, in minor units.
CREATE TABLE verifications (
    invariant text PRIMARY KEY,
    ok boolean NOT NULL,
    detail text NOT NULL,
    at timestamptz NOT NULL,
    figures jsonb NOT NULL DEFAULT '{}'
);

-- Shared between processes, so that they keep Stripe's rates and our own rate limits together. None of it needs to outlive
-- a crash: the tables are not in the WAL, and a server that recovers begins with empty ones.
CREATE UNLOGGED TABLE token_buckets (
    name text PRIMARY KEY,
    due_at timestamptz NOT NULL  -- when the next token falls due
) WITH (fillfactor = 50);

-- Calls in a row that nobody answered, and when one may try again.
CREATE UNLOGGED TABLE breakers (
    name text PRIMARY KEY,
    lost integer NOT NULL CHECK (lost >= 0),
    probe_at timestamptz NOT NULL
);

-- Requests of one name (a hash) in one span of ten seconds, of all processes.
CREATE UNLOGGED TABLE rate_limit_uses (
    span bigint NOT NULL,
    name bytea NOT NULL CHECK (octet_length(name) = 16),
    used bigint NOT NULL,
    PRIMARY KEY (span, name)
) WITH (fillfactor = 50);

INSERT INTO assets (code, name, kind, scale, label, symbol, created_at)
VALUES ('USD', 'US dollars', 'currency', 6, NULL, '$', clock_timestamp()),
    ('EUR', 'Euros', 'currency', 6, NULL, '€', clock_timestamp()),
    ('GBP', 'Pounds sterling', 'currency', 6, NULL, '£', clock_timestamp());

RESET ROLE;
