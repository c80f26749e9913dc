-- What the platform proposes to a customer, or to a segment of them, and within which bounds they choose. It fills in a
-- form that nobody has saved yet; it turns nothing on and changes no rule.
SET LOCAL ROLE brimful_owner;

CREATE TABLE presets (
    customer_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',  -- or a segment
    segment text NOT NULL DEFAULT '' CHECK ((segment = '') = (customer_id <> '00000000-0000-0000-0000-000000000000')),
    asset text NOT NULL,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    threshold numeric(38, 12) CHECK (threshold > 0),
    amount_minor bigint CHECK (amount_minor > 0),
    limit_minor bigint CHECK (limit_minor >= amount_minor),
    charge_max_minor bigint CHECK (charge_max_minor >= amount_minor),
    day_limit_minor bigint CHECK (day_limit_minor > 0),
    threshold_min numeric(38, 12) CHECK (threshold_min > 0),
    threshold_max numeric(38, 12) CHECK (threshold_max >= threshold_min),
    amount_min_minor bigint CHECK (amount_min_minor > 0),
    amount_max_minor bigint CHECK (amount_max_minor >= amount_min_minor),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, segment, asset)
);

GRANT SELECT ON presets TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, UPDATE, DELETE ON presets TO brimful_api;

RESET ROLE;
