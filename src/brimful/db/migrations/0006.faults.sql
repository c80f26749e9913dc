-- Right under every fault: money that goes back, holds on charging, what a person must look at, verification.
SET LOCAL ROLE brimful_owner;

SET LOCAL lock_timeout = '5s';

-- Money that goes back ---------------------------------------------------------------------------------

-- One refund of one payment. Ours begin as `requested`, before Stripe is asked; those made at Stripe are
-- met when they are told of. stripe_refund_id keys the entries.
CREATE TABLE refunds (
    customer_id text NOT NULL,
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
    customer_id text NOT NULL,
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

-- Entries that moved money, which are few: verification and reversals find them without reading usage.
CREATE INDEX entries_paid ON entries (customer_id, payment_id) WHERE payment_id IS NOT NULL;

-- Holds --------------------------------------------------------------------------------------------------

-- Payments are sent while no row stands here. `key`: Stripe refuses the platform's key. `operator`: a person
-- said stop. `restore`: the database went back in time; reconciliation lifts it.
CREATE TABLE charging_holds (
    kind text PRIMARY KEY CHECK (kind IN ('key', 'operator', 'restore')),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    since timestamptz NOT NULL,
    probed_at timestamptz NOT NULL
);

INSERT INTO charging_holds (kind, reason, since, probed_at)
SELECT 'key', coalesce(reason, 'Stripe refuses the platform''s key'), since, since FROM charging WHERE NOT open;

DROP TABLE charging;

-- One row: which database this is and how far it has come. `beat` only rises; a witness outside the database
-- (the file of BRIMFUL_EPOCH_FILE, or a process that is still running) knows when it has gone back.
CREATE TABLE epochs (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch integer NOT NULL DEFAULT 1,
    system_identifier bigint,
    timeline integer,
    beat bigint NOT NULL DEFAULT 0,
    beat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    went_back_from timestamptz,
    reconciled_at timestamptz
);

INSERT INTO epochs DEFAULT VALUES;

-- For a person ---------------------------------------------------------------------------------------------

ALTER TABLE top_ups ADD COLUMN failures integer NOT NULL DEFAULT 0;

CREATE INDEX top_ups_to_review ON top_ups (customer_id, top_up_id) WHERE needs_review;

ALTER TABLE stripe_events ADD COLUMN failures integer NOT NULL DEFAULT 0;

-- Verification ---------------------------------------------------------------------------------------------

-- How far each account's chain has been verified. The mark is signed with the ledger's key: one that was
-- changed is not believed, and the account is read from its beginning.
CREATE TABLE verified_marks (
    customer_id text NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    balance numeric(38, 12) NOT NULL,
    mac bytea NOT NULL,
    signature bytea NOT NULL,
    PRIMARY KEY (customer_id, asset)
);

-- The last result of each invariant: what /metrics shows.
CREATE TABLE verifications (
    invariant text PRIMARY KEY,
    ok boolean NOT NULL,
    detail text NOT NULL,
    at timestamptz NOT NULL
);

GRANT INSERT, UPDATE ON refunds, disputes TO brimful_engine;

GRANT INSERT ON refunds TO brimful_api;

GRANT INSERT, UPDATE, DELETE ON charging_holds TO brimful_engine;

GRANT UPDATE ON epochs TO brimful_engine;

GRANT INSERT, UPDATE, DELETE ON verified_marks TO brimful_engine;

GRANT INSERT, UPDATE ON verifications TO brimful_engine;

-- The invariants as views: each shows what must not be. `brimful verify` and the metric read these.

CREATE VIEW broken_i2 AS
WITH taken AS (
    SELECT currency, sum(amount_minor) AS minor FROM payments WHERE state = 'succeeded' GROUP BY currency
), refunded AS (
    SELECT currency, sum(amount_minor) AS minor FROM refunds WHERE state IN ('pending', 'succeeded') GROUP BY currency
), disputed AS (
    SELECT currency, -sum(money_minor) AS minor FROM entries
    WHERE payment_id IS NOT NULL AND source = 'stripe' AND key LIKE 'dp\_%' GROUP BY currency
), booked AS (
    SELECT currency, sum(money_minor) AS minor FROM entries WHERE payment_id IS NOT NULL GROUP BY currency
)
SELECT currency, coalesce(taken.minor, 0) AS taken, coalesce(refunded.minor, 0) AS refunded,
    coalesce(disputed.minor, 0) AS disputed, coalesce(booked.minor, 0) AS booked
FROM taken FULL JOIN refunded USING (currency) FULL JOIN disputed USING (currency) FULL JOIN booked USING (currency)
WHERE coalesce(taken.minor, 0) - coalesce(refunded.minor, 0) - coalesce(disputed.minor, 0)
    <> coalesce(booked.minor, 0);

-- A payment whose units were taken back in another proportion than its money.
CREATE VIEW broken_i2_units AS
SELECT p.customer_id, p.payment_id, sum(e.money_minor) AS money_left, sum(e.amount) AS units_left, t.units
FROM entries AS e
JOIN payments AS p ON p.customer_id = e.customer_id AND p.payment_id = e.payment_id
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
WHERE e.payment_id IS NOT NULL
GROUP BY p.customer_id, p.payment_id, p.amount_minor, t.units
HAVING (sum(e.money_minor) = p.amount_minor AND sum(e.amount) <> t.units)
    OR (sum(e.money_minor) <= 0 AND sum(e.amount) <> 0)
    OR sum(e.amount) < 0 OR sum(e.amount) > t.units;

CREATE VIEW broken_i3 AS
SELECT customer_id, asset, count(*) AS live FROM top_ups WHERE kind = 'automatic' AND ended_at IS NULL
GROUP BY customer_id, asset HAVING count(*) > 1;

CREATE VIEW broken_i4 AS
WITH credits AS (
    SELECT customer_id, payment_id, count(*) AS credits FROM entries
    WHERE payment_id IS NOT NULL AND kind = 'top_up' GROUP BY customer_id, payment_id
)
SELECT customer_id, payment_id, p.state, coalesce(c.credits, 0) AS credits
FROM payments AS p FULL JOIN credits AS c USING (customer_id, payment_id)
WHERE coalesce(c.credits, 0) <> CASE p.state WHEN 'succeeded' THEN 1 ELSE 0 END;

CREATE VIEW broken_i5 AS
SELECT customer_id, top_up_id, count(*) AS succeeded FROM payments WHERE state = 'succeeded'
GROUP BY customer_id, top_up_id HAVING count(*) > 1;

-- Counted as the limit promises: by month, what was not released.
CREATE VIEW broken_i8 AS
SELECT t.customer_id, t.top_up_id, t.spent, c.limit_minor
FROM (
    SELECT customer_id, top_up_id, consent_id,
        sum(amount_minor) OVER (PARTITION BY customer_id, asset, currency, limit_month ORDER BY confirmed_at) AS spent
    FROM top_ups
    WHERE kind = 'automatic' AND confirmed_at IS NOT NULL
        AND (state NOT IN ('failed', 'canceled') OR balance_after IS NOT NULL)
) AS t
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.spent > c.limit_minor;

CREATE VIEW broken_i9 AS
SELECT p.customer_id, p.payment_id
FROM payments AS p
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
LEFT JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id AND c.action = 'given'
    AND c.kind = 'auto_top_up' AND c.asset = t.asset
LEFT JOIN consents AS w ON w.customer_id = c.customer_id AND w.withdraws = c.consent_id
WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
    AND (c.consent_id IS NULL OR c.recorded_at > p.confirm_sent_at OR w.recorded_at < p.confirm_sent_at);

CREATE VIEW broken_i10 AS
SELECT p.customer_id, p.payment_id
FROM payments AS p
JOIN top_ups AS t ON t.customer_id = p.customer_id AND t.top_up_id = p.top_up_id
JOIN consents AS c ON c.customer_id = t.customer_id AND c.consent_id = t.consent_id
WHERE t.kind = 'automatic' AND p.presence = 'off_session' AND p.confirm_sent_at IS NOT NULL
    AND (p.card_id, p.amount_minor, p.currency) IS DISTINCT FROM (c.card_id, c.amount_minor, c.currency);

-- A rule that is on, below its line, with neither a live top-up nor a reason; an account that is armed otherwise
-- than its rule and the engine's reason say; or a top-up nobody looks after.
CREATE VIEW broken_i12 AS
SELECT r.customer_id, r.asset AS thing, 'silent below its line' AS what
FROM rules AS r
JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
WHERE r.enabled AND a.balance < r.threshold AND s.reason IN ('armed', 'off', 'triggered', 'in_flight')
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

GRANT SELECT ON broken_i2, broken_i2_units, broken_i3, broken_i4, broken_i5, broken_i8, broken_i9, broken_i10,
    broken_i12 TO brimful_api, brimful_portal, brimful_engine;

RESET ROLE;
