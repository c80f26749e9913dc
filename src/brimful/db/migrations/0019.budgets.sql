-- Budgets and leases. Subject and dimensions say what a debit was for; they stand beside the entry, and can be erased. A budget
-- limits what is used of an account for some of them; what it has counted is a row for each of its windows.
SET LOCAL ROLE brimful_owner;

-- `counted` is how much of what was captured of a hold counts in which budget, where there are any.
ALTER TABLE entry_notes ADD COLUMN subject text CHECK (length(subject) BETWEEN 1 AND 128), ADD COLUMN dimensions jsonb,
    ADD COLUMN counted jsonb;

-- Whether any budget stands for an account: a debit sees it in the row that it locks anyway. The version rises with each change
-- of a budget, so that a process need not read again what has not changed.
ALTER TABLE accounts ADD COLUMN budgeted boolean NOT NULL DEFAULT false,
    ADD COLUMN budgets_version bigint NOT NULL DEFAULT 0;

-- `tag` is what a debit must be marked with to count: [] for all, ["subject"], or ["dimension", "value"]. What counts in a
-- budget counts in its ancestors, nearest first.
CREATE TABLE budgets (
    customer_id uuid NOT NULL,
    budget_id text NOT NULL CHECK (budget_id ~ '^[A-Za-z0-9._:~-]{1,128}$'),
    asset text NOT NULL,
    tag text NOT NULL CHECK (length(tag) <= 700),
    name text CHECK (length(name) BETWEEN 1 AND 100),
    span text NOT NULL CHECK (span IN ('day', 'week', 'month', 'rolling_24h', 'total')),
    amount numeric(38, 12) NOT NULL CHECK (amount >= 0),
    hard boolean NOT NULL,
    ancestors text[] NOT NULL DEFAULT '{}' CHECK (cardinality(ancestors) <= 3 AND NOT budget_id = ANY (ancestors)),
    set_by text NOT NULL CHECK (set_by IN ('platform', 'customer')),
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- It counts entries after this one, and until that one. What windows that were deleted had counted stays as a sum.
    since_seq bigint NOT NULL CHECK (since_seq >= 0),
    until_seq bigint,
    bundle integer NOT NULL CHECK (bundle >= 0),
    used_before numeric(38, 12) NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, budget_id),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
);
CREATE INDEX budgets_by_tag ON budgets (customer_id, asset, tag) WHERE ended_at IS NULL;

-- The windows that count now of some budgets of an account together, a budget beside its parent where there is room: a debit
-- reads and writes one row for a whole tree. [[budget, starts, ends, counts until (in seconds since 1970), used, held, beyond, most, announced], ...]
CREATE TABLE budget_counters (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    bundle integer NOT NULL CHECK (bundle >= 0),
    windows text NOT NULL,
    PRIMARY KEY (customer_id, asset, bundle),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
) WITH (fillfactor = 50);

-- Windows that have ended. What was used, and what open holds set aside, between two moments. `beyond` is the part of what was used that a hard budget did
-- not cover, recorded because it had happened; `most` is the highest amount that the budget had meanwhile.
CREATE TABLE budget_windows (
    customer_id uuid NOT NULL,
    budget_id text NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL CHECK (ends_at > starts_at),
    used numeric(38, 12) NOT NULL CHECK (used >= 0),
    held numeric(38, 12) NOT NULL CHECK (held >= 0),
    beyond numeric(38, 12) NOT NULL CHECK (beyond BETWEEN 0 AND used),
    most numeric(38, 12) NOT NULL,
    announced smallint NOT NULL,  -- which events were sent: 1 at 80 %, 2 at 100 %, 4 beyond
    PRIMARY KEY (customer_id, budget_id, ends_at),
    FOREIGN KEY (customer_id, budget_id) REFERENCES budgets
) WITH (fillfactor = 70);

-- `counted` are the windows that a hold is set aside in: [["budget", "end of the window"], ...]. A lease may hold nothing for a while.
ALTER TABLE holds ADD COLUMN subject text CHECK (length(subject) BETWEEN 1 AND 128), ADD COLUMN dimensions jsonb,
    ADD COLUMN counted jsonb,
    ADD COLUMN leased boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT holds_amount_check,
    ADD CONSTRAINT holds_amount_check CHECK (amount > 0 OR (leased AND amount = 0));

-- A hold that renews itself. Its burn is `recent_units` in `recent_s` seconds.
CREATE TABLE leases (
    customer_id uuid NOT NULL,
    hold_id text NOT NULL,
    asset text NOT NULL,
    chunk numeric(38, 12) NOT NULL CHECK (chunk > 0),
    wind_down_s integer NOT NULL CHECK (wind_down_s >= 0),
    expires_in_s integer NOT NULL CHECK (expires_in_s > 0),
    used numeric(38, 12) NOT NULL DEFAULT 0 CHECK (used >= 0),
    recent_units numeric(38, 12) NOT NULL DEFAULT 0,
    recent_s numeric(20, 6) NOT NULL DEFAULT 0,
    interval_s numeric(20, 6) NOT NULL DEFAULT 0,
    used_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'bridged', 'winding_down', 'ended')),
    why text,
    good_until timestamptz,
    PRIMARY KEY (customer_id, hold_id),
    FOREIGN KEY (customer_id, hold_id) REFERENCES holds
);
CREATE INDEX leases_open ON leases (customer_id, asset) WHERE state <> 'ended';

-- What was spent for each subject and each value of a dimension, by the days of its customer.
CREATE TABLE spend_days (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    day date NOT NULL,
    tag text NOT NULL,
    used numeric(38, 12) NOT NULL,
    PRIMARY KEY (customer_id, asset, day, tag),
    FOREIGN KEY (customer_id, asset) REFERENCES accounts
);

CREATE VIEW all_budget_windows AS
SELECT c.customer_id, e.w ->> 0 AS budget_id, to_timestamp((e.w ->> 1)::bigint) AS starts_at, to_timestamp((e.w ->> 2)::bigint) AS ends_at,
    (e.w ->> 4)::numeric AS used, (e.w ->> 5)::numeric AS held, (e.w ->> 6)::numeric AS beyond, (e.w ->> 7)::numeric AS most
FROM budget_counters AS c CROSS JOIN LATERAL jsonb_array_elements(c.windows::jsonb) AS e (w)
UNION ALL
SELECT customer_id, budget_id, starts_at, ends_at, used, held, beyond, most FROM budget_windows;

-- A hard budget holds, but for what was recorded beyond it, and what is set aside in it is what open holds say.
CREATE VIEW broken_i17 AS
SELECT w.customer_id, w.budget_id AS thing, 'more was used and held than it allowed' AS what
FROM all_budget_windows AS w
JOIN budgets AS b ON b.customer_id = w.customer_id AND b.budget_id = w.budget_id
WHERE b.hard AND (
    SELECT sum(o.used + o.held - o.beyond) > max(o.most) FROM all_budget_windows AS o
    WHERE o.customer_id = w.customer_id AND o.budget_id = w.budget_id AND o.ends_at <= w.ends_at
        AND (o.ends_at = w.ends_at OR (b.span = 'rolling_24h' AND o.ends_at > w.ends_at - interval '24 hours 15 minutes')))
UNION ALL
SELECT coalesce(c.customer_id, h.customer_id), coalesce(c.budget_id, h.budget_id), 'what it holds is not what is held for it'
FROM (SELECT customer_id, budget_id, sum(held) AS held FROM all_budget_windows GROUP BY customer_id, budget_id) AS c
FULL JOIN (
    SELECT o.customer_id, e.part ->> 0 AS budget_id, sum(o.amount) AS held
    FROM holds AS o CROSS JOIN LATERAL jsonb_array_elements(o.counted) AS e (part)
    WHERE o.state = 'open' GROUP BY 1, 2
) AS h ON h.customer_id = c.customer_id AND h.budget_id = c.budget_id
WHERE coalesce(c.held, 0) <> coalesce(h.held, 0);

-- What a budget has counted is the sum of the entries that are for it, or for one below it.
CREATE VIEW broken_i17_used AS
SELECT b.customer_id, b.budget_id AS thing, 'what it counted is not what was used' AS what
FROM budgets AS b
LEFT JOIN archive_marks AS r ON r.customer_id = b.customer_id AND r.asset = b.asset
LEFT JOIN (
    SELECT customer_id, budget_id, sum(used) AS used FROM all_budget_windows GROUP BY customer_id, budget_id
) AS c ON c.customer_id = b.customer_id AND c.budget_id = b.budget_id
LEFT JOIN (
    SELECT u.customer_id, u.budget_id, -sum(u.amount) AS used
    FROM (
        SELECT DISTINCT e.customer_id, e.asset, e.seq, e.amount, f.budget_id
        FROM entries AS e
        LEFT JOIN entry_notes AS n ON n.customer_id = e.customer_id AND n.asset = e.asset AND n.seq = e.seq
        CROSS JOIN LATERAL (
            SELECT '[]' AS tag
            UNION ALL
            SELECT jsonb_build_array(n.subject)::text WHERE n.subject IS NOT NULL
            UNION ALL
            SELECT jsonb_build_array(d.key, d.value)::text FROM jsonb_each_text(coalesce(n.dimensions, '{}')) AS d
        ) AS t
        JOIN budgets AS m ON m.customer_id = e.customer_id AND m.asset = e.asset AND m.tag = t.tag
            AND m.since_seq < e.seq AND (m.until_seq IS NULL OR e.seq <= m.until_seq)
        CROSS JOIN LATERAL unnest(m.budget_id || m.ancestors) AS f (budget_id)
        WHERE e.kind IN ('usage', 'charge') AND e.source <> 'hold'
        UNION ALL
        SELECT e.customer_id, e.asset, e.seq, -f.used::numeric, f.budget_id
        FROM entries AS e
        JOIN entry_notes AS n ON n.customer_id = e.customer_id AND n.asset = e.asset AND n.seq = e.seq
        CROSS JOIN LATERAL jsonb_each_text(n.counted) AS f (budget_id, used)
        WHERE e.source = 'hold'
    ) AS u
    GROUP BY u.customer_id, u.budget_id
) AS e ON e.customer_id = b.customer_id AND e.budget_id = b.budget_id
WHERE coalesce(r.seq, 0) <= b.since_seq AND b.used_before + coalesce(c.used, 0) <> coalesce(e.used, 0);

GRANT SELECT ON all_budget_windows, broken_i17, broken_i17_used TO brimful_engine;
GRANT SELECT ON budgets, budget_counters, budget_windows, leases, spend_days TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, UPDATE (name, amount, hard, ended_at, until_seq) ON budgets TO brimful_api, brimful_portal;
GRANT UPDATE (used_before) ON budgets TO brimful_engine;
GRANT DELETE ON budget_windows TO brimful_engine;
GRANT INSERT ON budget_counters, budget_windows TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (windows) ON budget_counters TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (used, held, beyond, most, announced) ON budget_windows TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (budgeted, budgets_version) ON accounts TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT ON leases TO brimful_api;
GRANT UPDATE (used, recent_units, recent_s, interval_s, used_at, state, why, good_until) ON leases
    TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (amount, expires_at, counted) ON holds TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, DELETE ON spend_days TO brimful_engine;
GRANT UPDATE (used) ON spend_days TO brimful_engine;

RESET ROLE;
