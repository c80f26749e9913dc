-- The operator's side: who may look and act, and what metrics read.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

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

-- Tries to sign in, by address and ('') from everywhere, within a quarter of an hour.
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

-- Differences between our books and Stripe's that a person has looked at and takes as they are.
CREATE TABLE accepted_differences (
    payment_id text PRIMARY KEY,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    actor text NOT NULL,
    at timestamptz NOT NULL
);

-- When a key was used last, to the hour.
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;

-- Events that came with a wrong signature: the doctor tells a wrong secret from a quiet day by them.
CREATE TABLE webhook_rejections (
    day date PRIMARY KEY,
    count bigint NOT NULL,
    last_at timestamptz NOT NULL
);

-- Nothing of an erased customer can be changed or opened again.
ALTER TABLE customers ADD COLUMN erased_at timestamptz;

-- How far the books are off, by currency, in minor units: 0 while they are even.
ALTER TABLE verifications ADD COLUMN figures jsonb NOT NULL DEFAULT '{}';

-- Where these tables are large already, make the indexes CONCURRENTLY first (docs/operate/upgrade.md).
CREATE INDEX IF NOT EXISTS stripe_events_newest ON stripe_events (received_at);
-- The newest of everybody, and whose a top-up is: automatic ones have no alias.
CREATE INDEX IF NOT EXISTS top_ups_newest ON top_ups (top_up_id DESC);
CREATE INDEX IF NOT EXISTS top_ups_ended ON top_ups (ended_at) WHERE ended_at IS NOT NULL;

REVOKE SELECT ON operators, operator_tries, operator_sessions FROM brimful_api, brimful_portal;
GRANT INSERT, UPDATE ON operators, operator_tries, operator_sessions TO brimful_engine;
GRANT DELETE ON operator_tries TO brimful_engine;
GRANT INSERT ON accepted_differences TO brimful_engine;
GRANT SELECT ON webhook_rejections TO brimful_api, brimful_engine;
GRANT INSERT, UPDATE ON webhook_rejections TO brimful_api;

RESET ROLE;
