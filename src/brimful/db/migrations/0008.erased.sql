-- The hot path keeps no free text of a customer who was erased: the account's own row says so.
SET LOCAL ROLE brimful_owner;

ALTER TABLE accounts ADD COLUMN erased boolean NOT NULL DEFAULT false;
UPDATE accounts AS a SET erased = true FROM customers AS c WHERE c.customer_id = a.customer_id AND c.erased_at IS NOT NULL;

RESET ROLE;
