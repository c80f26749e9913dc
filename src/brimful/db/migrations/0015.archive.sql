-- Old usage may leave the ledger for a file. What stays: a signed checkpoint of each chain, the keys (an id is never used
-- twice), and every entry that is not usage.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

CREATE TABLE archive_marks (
    customer_id text NOT NULL,
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
    customer_id text NOT NULL,
    source text NOT NULL,
    key text NOT NULL,
    kind text NOT NULL,
    asset text NOT NULL,
    amount numeric(38, 12) NOT NULL,
    balance_after numeric(38, 12) NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, source, key)
);

CREATE OR REPLACE VIEW trial_balance AS
SELECT asset, currency, contra AS account, -sum(amount) AS units, -sum(money_minor) AS money_minor
FROM (
    SELECT asset, currency, amount, money_minor,
        CASE kind WHEN 'usage' THEN 'revenue' WHEN 'charge' THEN 'revenue' WHEN 'adjustment' THEN 'adjustments'
            ELSE 'stripe_clearing' END AS contra
    FROM entries
    UNION ALL
    SELECT asset, NULL, dropped, NULL, 'revenue' FROM archive_marks
) AS sides
GROUP BY asset, currency, contra
UNION ALL
SELECT asset, NULL, 'wallets', sum(balance), NULL FROM accounts GROUP BY asset;

-- The hot tables are looked after early: accounts is updated by every debit, entries grows by one (docs/scale.md).
ALTER TABLE accounts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE entries SET (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
