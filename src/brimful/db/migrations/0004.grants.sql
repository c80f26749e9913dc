-- Who may write what (design: rights). Nobody who serves may change or delete an entry or a consent;
-- only the portal writes rules, opens card setups and records consents.
SET LOCAL ROLE brimful_owner;

REVOKE SELECT ON consent_evidence FROM brimful_api, brimful_engine;

REVOKE SELECT ON api_keys, idempotency FROM brimful_portal, brimful_engine;

REVOKE SELECT ON portal_sessions FROM brimful_api, brimful_engine;

-- The money rooms run under every role: entries are added, balances and top-ups follow.
GRANT INSERT ON accounts, entries, entry_notes, top_ups, aliases, outgoing_events, audit
    TO brimful_api, brimful_portal, brimful_engine;

GRANT UPDATE ON accounts, top_ups TO brimful_api, brimful_portal, brimful_engine;

GRANT INSERT, UPDATE ON payments TO brimful_portal, brimful_engine;

GRANT INSERT, UPDATE ON rule_states TO brimful_api, brimful_portal, brimful_engine;

-- The JSON door.
GRANT INSERT, UPDATE ON customers, rates TO brimful_api;

GRANT INSERT ON assets, portal_links, idempotency TO brimful_api;

GRANT INSERT, UPDATE ON api_keys TO brimful_api;

GRANT DELETE ON aliases TO brimful_api;

GRANT INSERT ON stripe_events TO brimful_api;

-- The HTML door: the customer's own hand.
GRANT INSERT, UPDATE ON rules, card_setups, portal_sessions TO brimful_portal;

GRANT INSERT ON consents, consent_evidence TO brimful_portal;

GRANT UPDATE (used_at) ON portal_links TO brimful_portal;

GRANT UPDATE (is_default, state, state_reason, updated_at) ON cards TO brimful_portal;

GRANT UPDATE (stripe_customer_id) ON customers TO brimful_portal;

-- The background door.
GRANT INSERT, UPDATE ON cards TO brimful_engine;

GRANT UPDATE (state, card_id, closed_at) ON card_setups TO brimful_engine;

GRANT UPDATE ON stripe_events, charging TO brimful_engine;

GRANT UPDATE (stripe_customer_id) ON customers TO brimful_engine;

GRANT INSERT, UPDATE, DELETE ON card_tries TO brimful_portal, brimful_engine;

GRANT INSERT ON portal_links TO brimful_engine;

-- Jobs are deferred by every role and run by the engine.
GRANT INSERT, UPDATE ON procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers
    TO brimful_api, brimful_portal;

GRANT INSERT, UPDATE, DELETE
    ON procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers, procrastinate_workers
    TO brimful_engine;

RESET ROLE;
