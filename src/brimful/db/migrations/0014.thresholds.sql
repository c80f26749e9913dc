-- The threshold in force stands with the rule's state: the customer's own, or one that follows the account's use between
-- their two bounds, re-derived by the engine. Each change is kept with its reason. How long payments take here is
-- measured each hour.
SET LOCAL ROLE brimful_owner;

ALTER TABLE consents ADD COLUMN threshold_low numeric(38, 12) CHECK (threshold_low > 0),
    ADD CHECK (threshold_low < threshold);
ALTER TABLE rules ADD COLUMN threshold_low numeric(38, 12) CHECK (threshold_low > 0),
    ADD CHECK (threshold_low < threshold);
ALTER TABLE rule_states ADD COLUMN threshold numeric(38, 12) CHECK (threshold > 0);

UPDATE rule_states AS s SET threshold = r.threshold FROM rules AS r
WHERE r.customer_id = s.customer_id AND r.asset = s.asset;

ALTER TABLE rule_states ALTER COLUMN threshold SET NOT NULL;

CREATE TABLE threshold_changes (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    changed_at timestamptz NOT NULL,
    threshold numeric(38, 12) NOT NULL,
    cause text NOT NULL CHECK (cause IN ('saved', 'hour', 'credit')),
    burn numeric(38, 12) NOT NULL,  -- used in five minutes, at the 99th percentile
    time_s integer NOT NULL,  -- until a payment is credited, with the first retry after a technical failure
    PRIMARY KEY (customer_id, asset, changed_at),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
);

CREATE TABLE credit_times (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    slowest_ms bigint NOT NULL CHECK (slowest_ms >= 0),  -- the 99th percentile, from the crossing to the credit
    payments integer NOT NULL,
    measured_at timestamptz NOT NULL
);

CREATE OR REPLACE VIEW broken_i12 AS
SELECT r.customer_id, r.asset AS thing, 'below its threshold without a top-up or a reason' AS what
FROM rules AS r
JOIN accounts AS a ON a.customer_id = r.customer_id AND a.asset = r.asset
JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
WHERE r.enabled AND a.balance - a.held < s.threshold AND s.reason IN ('armed', 'off', 'triggered', 'in_flight')
    AND NOT EXISTS (
        SELECT FROM top_ups AS t
        WHERE t.customer_id = r.customer_id AND t.asset = r.asset AND t.kind = 'automatic' AND t.ended_at IS NULL)
UNION ALL
SELECT a.customer_id, a.asset, 'its trigger differs from its rule'
FROM accounts AS a
LEFT JOIN rules AS r ON r.customer_id = a.customer_id AND r.asset = a.asset
LEFT JOIN rule_states AS s ON s.customer_id = a.customer_id AND s.asset = a.asset
LEFT JOIN top_ups AS t
    ON t.customer_id = a.customer_id AND t.asset = a.asset AND t.kind = 'automatic' AND t.ended_at IS NULL
WHERE a.trigger_below IS DISTINCT FROM CASE
    WHEN r.enabled AND s.paused_at IS NULL AND s.reason = 'armed' AND t.top_up_id IS NULL THEN s.threshold END
UNION ALL
SELECT customer_id, top_up_id, 'not checked for 15 minutes'
FROM top_ups
WHERE ended_at IS NULL AND coalesce(wake_at, requested_at) < clock_timestamp() - interval '15 minutes'
UNION ALL
SELECT r.customer_id, r.asset, 'its threshold is not within the customer''s bounds'
FROM rules AS r
JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
WHERE NOT s.threshold BETWEEN coalesce(r.threshold_low, r.threshold) AND r.threshold;

GRANT SELECT ON threshold_changes, credit_times TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT ON threshold_changes TO brimful_portal, brimful_engine;
GRANT DELETE ON threshold_changes TO brimful_engine;
GRANT INSERT, UPDATE ON credit_times TO brimful_engine;

RESET ROLE;
