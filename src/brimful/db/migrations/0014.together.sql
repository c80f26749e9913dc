-- What processes share so that they keep Stripe's rates, and quotas, together. None of it needs to outlive a crash: the
-- tables are not in the WAL, and a server that recovers begins with empty ones.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

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
CREATE UNLOGGED TABLE quota_uses (
    span bigint NOT NULL,
    name bytea NOT NULL CHECK (octet_length(name) = 16),
    used bigint NOT NULL,
    PRIMARY KEY (span, name)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON token_buckets, breakers TO brimful_api, brimful_portal, brimful_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON quota_uses TO brimful_api;
REVOKE SELECT ON quota_uses FROM brimful_portal, brimful_engine;
