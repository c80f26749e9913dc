-- The platform's side: holds, alerts, webhooks out.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

-- Holds: units set aside for a job whose cost is not known yet. `held` is what the account's open holds add up to;
-- what is available is balance - held. `bridge_max` is how far below zero a hold may take it, while a top-up that
-- covers it is in flight.
ALTER TABLE accounts
    ADD COLUMN held numeric(38, 12) NOT NULL DEFAULT 0 CHECK (held >= 0),
    ADD COLUMN alert_below numeric(38, 12);
-- What was available once a top-up was credited: whether it has left the account below its line.
ALTER TABLE top_ups ADD COLUMN available_after numeric(38, 12);
ALTER TABLE assets ADD COLUMN bridge_max numeric(38, 12) NOT NULL DEFAULT 0 CHECK (bridge_max >= 0);

CREATE TABLE holds (
    customer_id text NOT NULL,
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

-- A capture is usage, under the hold's own id: the unique key of entries allows one for ever. Reading every entry for the
-- wider checks is left to 0009, which locks nobody out.
ALTER TABLE entries DROP CONSTRAINT entries_sign, DROP CONSTRAINT entries_source_check;
ALTER TABLE entries
    ADD CONSTRAINT entries_source_check CHECK (source IN ('usage', 'hold', 'api', 'stripe', 'system')) NOT VALID,
    ADD CONSTRAINT entries_sign CHECK (
        CASE kind
            WHEN 'usage' THEN amount < 0 AND source IN ('usage', 'hold')
            WHEN 'charge' THEN amount < 0 AND source = 'api'
            WHEN 'adjustment' THEN amount <> 0 AND source IN ('api', 'system')
            WHEN 'top_up' THEN amount > 0 AND money_minor > 0 AND source = 'stripe'
            WHEN 'refund' THEN amount <= 0 AND money_minor < 0 AND source = 'stripe'
            WHEN 'dispute' THEN amount <= 0 AND money_minor < 0 AND source = 'stripe'
            WHEN 'reinstatement' THEN amount >= 0 AND money_minor > 0 AND source = 'stripe'
            ELSE false
        END) NOT VALID;

-- Alerts: what is told about a balance, charging or not. `level` is what was told last.
CREATE TABLE alerts (
    customer_id text NOT NULL,
    asset text NOT NULL,
    threshold numeric(38, 12) NOT NULL CHECK (threshold > 0),
    level text NOT NULL CHECK (level IN ('ok', 'low', 'depleted')),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, asset),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts (customer_id, asset)
);

-- Webhooks out: where events go, and how each delivery stands.
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
    -- No foreign key: a webhook that is deleted meanwhile must never break the movement that is told of.
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

-- The judgement of a line is on what is available. (Views are replaced with the same columns.)
CREATE OR REPLACE VIEW broken_i12 AS
SELECT r.customer_id, r.asset AS thing, 'silent below its line' AS what
FROM rules AS r
JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
WHERE r.enabled AND a.balance - a.held < r.threshold AND s.reason IN ('armed', 'off', 'triggered', 'in_flight')
    AND NOT EXISTS (
        SELECT FROM top_ups AS t
        WHERE t.customer_id = r.customer_id AND t.asset = r.asset AND t.kind = 'automatic' AND t.ended_at IS NULL)
UNION ALL
SELECT a.customer_id, a.asset, 'armed at another line than its rule''s'
FROM accounts AS a
LEFT JOIN rules AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
LEFT JOIN rule_states AS s ON s.customer_id = a.customer_id AND s.asset = a.asset
LEFT JOIN top_ups AS t ON t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic'
    AND t.ended_at IS NULL
WHERE a.armed_below IS DISTINCT FROM
    CASE WHEN r.enabled AND s.paused_at IS NULL AND s.reason = 'armed' AND t.top_up_id IS NULL THEN r.threshold END
UNION ALL
SELECT customer_id, top_up_id, 'nobody has looked for 15 minutes' FROM top_ups
WHERE ended_at IS NULL AND coalesce(wake_at, requested_at) < clock_timestamp() - interval '15 minutes';

CREATE VIEW broken_i1_holds AS
SELECT a.customer_id, a.asset AS thing, 'held is not the sum of its open holds' AS what
FROM accounts AS a
LEFT JOIN (
    SELECT customer_id, asset, sum(amount) AS amount FROM holds WHERE state = 'open' GROUP BY 1, 2
) AS h ON h.customer_id = a.customer_id AND h.asset = a.asset
WHERE a.held <> coalesce(h.amount, 0)
UNION ALL
SELECT h.customer_id, h.hold_id, 'captured without its entry, or for another amount'
FROM holds AS h
LEFT JOIN entries AS e ON e.customer_id = h.customer_id AND e.source = 'hold' AND e.key = h.hold_id
WHERE (h.state = 'captured' OR e.key IS NOT NULL) AND (h.captured IS DISTINCT FROM -e.amount OR h.asset <> e.asset)
UNION ALL
SELECT a.customer_id, a.asset, 'no alert was told below its line'
FROM accounts AS a
LEFT JOIN alerts AS l ON l.customer_id = a.customer_id AND l.asset = a.asset
JOIN assets AS s ON s.code = a.asset
WHERE a.alert_below IS DISTINCT FROM
    CASE l.level WHEN 'ok' THEN l.threshold WHEN 'low' THEN power(10::numeric, -s.scale) END
    OR a.balance - a.held < a.alert_below;

GRANT UPDATE (held, alert_below) ON accounts TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (bridge_max) ON assets TO brimful_api;
GRANT SELECT ON holds, alerts, deliveries, delivery_attempts, broken_i1_holds
    TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT ON holds TO brimful_api;
GRANT UPDATE (state, captured, ended_at) ON holds TO brimful_api, brimful_engine;
-- Whoever moves a balance may find that an alert is due; setting one is the platform's and the customer's.
GRANT UPDATE (level) ON alerts TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, DELETE, UPDATE (threshold, updated_at) ON alerts TO brimful_api, brimful_portal;

-- Whoever tells an event finds out where it goes; the secrets are for the worker, which signs, and the API, which shows.
GRANT SELECT (endpoint_id, topics, enabled) ON webhook_endpoints TO brimful_portal;
GRANT SELECT ON webhook_endpoints TO brimful_api, brimful_engine;
GRANT INSERT, UPDATE, DELETE ON webhook_endpoints TO brimful_api;
GRANT UPDATE (enabled, disabled_reason, failing_since, updated_at) ON webhook_endpoints TO brimful_engine;
GRANT INSERT ON deliveries TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (state, attempts, next_at, ended_at) ON deliveries TO brimful_api, brimful_engine;
GRANT DELETE ON deliveries TO brimful_api;
GRANT INSERT ON delivery_attempts TO brimful_engine;

RESET ROLE;
