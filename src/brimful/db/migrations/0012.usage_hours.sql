-- What each account used in each hour, kept by a job from the entries: the debits pay nothing for it. A row says which
-- entries it sums up, so that it can be compared with them.
SET LOCAL ROLE brimful_owner;

CREATE TABLE usage_hours (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    hour timestamptz NOT NULL CHECK (hour = date_trunc('hour', hour, 'UTC')),
    used numeric(38, 12) NOT NULL CHECK (used >= 0),
    first_seq bigint NOT NULL CHECK (first_seq > 0),
    last_seq bigint NOT NULL CHECK (last_seq >= first_seq),
    PRIMARY KEY (customer_id, asset, hour),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
);

-- An hour's use is the sum of its entries.
CREATE VIEW broken_i15 AS
SELECT u.customer_id, u.asset, u.hour
FROM usage_hours AS u
LEFT JOIN archive_marks AS r ON r.customer_id = u.customer_id AND r.asset = u.asset
WHERE u.first_seq > coalesce(r.seq, 0) AND u.used <> (
    SELECT coalesce(-sum(e.amount) FILTER (WHERE e.kind IN ('usage', 'charge')), 0) FROM entries AS e
    WHERE e.customer_id = u.customer_id AND e.asset = u.asset AND e.seq BETWEEN u.first_seq AND u.last_seq
);

GRANT SELECT ON usage_hours TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, UPDATE, DELETE ON usage_hours TO brimful_engine;
GRANT SELECT ON broken_i15 TO brimful_engine;

RESET ROLE;
