-- The hot path: what a debit does not need.
SET LOCAL ROLE brimful_owner;
SET LOCAL lock_timeout = '5s';

-- Every entry is written under the lock of its account, no service role may delete an account or rename it, and
-- `verify` names entries without one. The check per row cost a fifth of a batch (docs/performance.md).
ALTER TABLE entries DROP CONSTRAINT entries_customer_id_asset_fkey;

REVOKE UPDATE ON accounts FROM brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (balance, seq, mac, armed_below) ON accounts TO brimful_api, brimful_portal, brimful_engine;
