-- A rate is kept as it was given: `rate` of the currency for `rate_per` units. Six for one dollar is no decimal.
SET LOCAL ROLE brimful_owner;

ALTER TABLE rates ADD COLUMN rate_per numeric(38, 12) NOT NULL DEFAULT 1 CHECK (rate_per > 0);
ALTER TABLE top_ups ADD COLUMN rate_per numeric(38, 12) NOT NULL DEFAULT 1 CHECK (rate_per > 0);

RESET ROLE;
