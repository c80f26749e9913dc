-- Credits in lots: what a credit is for, when it takes effect and when it expires stand with its entry, and are signed with
-- it. What is left of each lot is a fold over the chain (ledger/lots.py), kept now and then as a checkpoint that is signed.
SET LOCAL ROLE brimful_owner;

ALTER TABLE entries
    ADD COLUMN lot_seq bigint,  -- the lot that an expiry, or a bonus that goes back, takes from
    ADD COLUMN purpose text,
    ADD COLUMN priority smallint,
    ADD COLUMN effective_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    -- Each statement reads its checks anew, so this one is short; that the terms are right is signed.
    ADD CONSTRAINT entries_lot CHECK (
        priority BETWEEN 0 AND 100 AND (purpose IS NULL) = (priority IS NULL) AND (lot_seq IS NULL OR amount < 0)
        AND (purpose IS NOT NULL OR (effective_at IS NULL AND expires_at IS NULL))),
    DROP CONSTRAINT entries_money,
    ADD CONSTRAINT entries_money CHECK (
        (money_minor IS NULL) = (currency IS NULL) AND (money_minor IS NULL) = (payment_id IS NULL)
        AND (money_minor IS NULL) = (kind IN ('usage', 'charge', 'adjustment', 'bonus', 'expiry'))),
    DROP CONSTRAINT entries_sign,
    ADD CONSTRAINT entries_sign CHECK (
        CASE kind
            WHEN 'usage' THEN amount < 0 AND source IN ('usage', 'hold')
            WHEN 'charge' THEN amount < 0 AND source = 'api'
            WHEN 'adjustment' THEN amount <> 0 AND source IN ('api', 'system')
            WHEN 'top_up' THEN amount > 0 AND money_minor > 0 AND source = 'stripe'
            WHEN 'refund' THEN amount <= 0 AND money_minor < 0 AND source = 'stripe'
            WHEN 'dispute' THEN amount <= 0 AND money_minor < 0 AND source = 'stripe'
            WHEN 'reinstatement' THEN amount >= 0 AND money_minor > 0 AND source = 'stripe'
            WHEN 'bonus' THEN amount <> 0 AND (amount > 0) = (purpose IS NOT NULL) AND source = 'system'
            WHEN 'expiry' THEN amount < 0 AND lot_seq IS NOT NULL AND source = 'system'
            ELSE false
        END);

-- When the next of an account's lots begins or expires; never later than that.
ALTER TABLE accounts ADD COLUMN lots_due_at timestamptz;
CREATE INDEX accounts_lots_due ON accounts (lots_due_at) WHERE lots_due_at IS NOT NULL;

CREATE TABLE lot_checkpoints (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    state text NOT NULL,
    mac bytea NOT NULL CHECK (octet_length(mac) = 17),
    PRIMARY KEY (customer_id, asset, seq),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
);

-- Credits that take effect later. They are no entries yet; their keys are taken all the same.
CREATE TABLE scheduled_credits (
    customer_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    asset text NOT NULL,
    amount numeric(38, 12) NOT NULL CHECK (amount > 0),
    purpose text NOT NULL CHECK (purpose IN ('paid', 'promotional', 'bonus', 'correction')),
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 100),
    effective_at timestamptz NOT NULL,
    expires_at timestamptz CHECK (expires_at > effective_at),
    description text CHECK (length(description) <= 500),
    metadata jsonb,
    created_at timestamptz NOT NULL,
    mac bytea NOT NULL CHECK (octet_length(mac) = 17),
    PRIMARY KEY (customer_id, key),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
);
CREATE INDEX scheduled_credits_account ON scheduled_credits (customer_id, asset, effective_at);

-- Which notices were sent before a lot expires: so many days ahead.
CREATE TABLE expiry_notices (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    days smallint NOT NULL CHECK (days > 0),
    PRIMARY KEY (customer_id, asset, seq, days),
    FOREIGN KEY (customer_id, asset, seq) REFERENCES entries
);

-- What the platform gives on top of a payment, by its amount. The newest version of an asset's list is in force; those
-- before it stay, as what was offered then.
CREATE TABLE offers (
    asset text NOT NULL REFERENCES assets,
    version integer NOT NULL CHECK (version > 0),
    place smallint NOT NULL CHECK (place >= 0),
    currency text CHECK (currency ~ '^[A-Z]{3}$'),  -- none: the list is empty
    from_minor bigint CHECK (from_minor > 0),
    percent numeric(5, 2) CHECK (percent > 0 AND percent <= 100),
    expires_after_days integer CHECK (expires_after_days BETWEEN 1 AND 3650),
    valid_from timestamptz NOT NULL,
    valid_to timestamptz CHECK (valid_to > valid_from),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (asset, version, place),
    CHECK (num_nulls(currency, from_minor, percent) IN (0, 3))
);

-- Fixed when the top-up is made: what the credit's terms are, and the bonus that was shown.
ALTER TABLE top_ups ADD COLUMN credit_expires_at timestamptz,
    ADD COLUMN bonus_units numeric(38, 12) CHECK (bonus_units > 0),
    ADD COLUMN bonus_days integer,
    ADD COLUMN offer_version integer;

-- Units that were taken back and had been used already.
ALTER TABLE refunds ADD COLUMN loss numeric(38, 12) CHECK (loss >= 0);
ALTER TABLE disputes ADD COLUMN loss numeric(38, 12) CHECK (loss >= 0);

-- What is set aside for a refund has an id that nobody can ask for.
ALTER TABLE holds DROP CONSTRAINT holds_hold_id_check,
    ADD CONSTRAINT holds_hold_id_check CHECK (hold_id ~ '^(refund/)?[A-Za-z0-9._:~-]{1,128}$');

-- Whether promotional credit counts for the threshold; as ever where it is not said.
ALTER TABLE consents ADD COLUMN promotional_counts boolean;
ALTER TABLE rules ADD COLUMN promotional_counts boolean;

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
WHERE CASE
    WHEN r.enabled AND s.paused_at IS NULL AND s.reason = 'armed' AND t.top_up_id IS NULL AND NOT r.promotional_counts
        THEN (a.trigger_below >= s.threshold) IS NOT TRUE  -- what does not count comes on top
    ELSE a.trigger_below IS DISTINCT FROM CASE
        WHEN r.enabled AND s.paused_at IS NULL AND s.reason = 'armed' AND t.top_up_id IS NULL THEN s.threshold END
    END
UNION ALL
SELECT customer_id, top_up_id, 'not checked for 15 minutes'
FROM top_ups
WHERE ended_at IS NULL AND coalesce(wake_at, requested_at) < clock_timestamp() - interval '15 minutes'
UNION ALL
SELECT r.customer_id, r.asset, 'its threshold is not within the customer''s bounds'
FROM rules AS r
JOIN rule_states AS s ON s.customer_id = r.customer_id AND s.asset = r.asset
WHERE NOT s.threshold BETWEEN coalesce(r.threshold_low, r.threshold) AND r.threshold;

CREATE OR REPLACE VIEW trial_balance AS
SELECT asset, currency, contra AS account, -sum(amount) AS units, -sum(money_minor) AS money_minor
FROM (
    SELECT asset, currency, amount, money_minor,
        CASE kind WHEN 'usage' THEN 'revenue' WHEN 'charge' THEN 'revenue' WHEN 'adjustment' THEN 'adjustments'
            WHEN 'bonus' THEN 'bonuses' WHEN 'expiry' THEN 'breakage' ELSE 'stripe_clearing' END AS contra
    FROM entries
    UNION ALL
    SELECT asset, NULL, dropped, NULL, 'revenue' FROM archive_marks
) AS sides
GROUP BY asset, currency, contra
UNION ALL
SELECT asset, NULL, 'wallets', sum(balance), NULL FROM accounts GROUP BY asset;

GRANT SELECT ON lot_checkpoints, scheduled_credits, expiry_notices TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT ON lot_checkpoints TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, DELETE ON scheduled_credits TO brimful_api;
GRANT DELETE ON scheduled_credits TO brimful_portal, brimful_engine;
GRANT INSERT ON expiry_notices TO brimful_engine;
-- A customer takes back what is left of a top-up: the refund is asked for, and its units are set aside.
GRANT INSERT ON refunds, holds TO brimful_portal;
GRANT SELECT ON offers TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT ON offers TO brimful_api;
GRANT UPDATE (lots_due_at) ON accounts TO brimful_api, brimful_portal, brimful_engine;

RESET ROLE;
