-- Where a card was issued decides whether it can be charged without its customer: in India only under a mandate.
SET LOCAL ROLE brimful_owner;

ALTER TABLE cards ADD COLUMN country text CHECK (country ~ '^[A-Z]{2}$');  -- NULL: not known
ALTER TABLE cards ADD COLUMN wallet text;  -- through which it was given, such as apple_pay; NULL: typed in

RESET ROLE;
