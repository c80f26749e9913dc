-- Who may write what (design: rights). Nobody who serves may change or delete an entry or a consent;
-- only the portal writes rules, opens card setups and records consents.
SET LOCAL ROLE brimful_owner;

REVOKE SELECT ON consent_evidence FROM brimful_api, brimful_engine;

REVOKE SELECT ON api_keys, idempotency FROM brimful_portal, brimful_engine;

REVOKE SELECT ON portal_sessions FROM brimful_api, brimful_engine;

-- The money rooms run under every role: entries are added, balances and top-ups follow.
GRANT INSERT ON accounts, entries, entry_notes, top_ups, aliases, outgoing_events, audit
    TO brimful_api, brimful_portal, brimful_engine;

GRANT UPDATE (balance, seq, mac, trigger_below, held, alert_below) ON accounts TO brimful_api, brimful_portal, brimful_engine;

GRANT UPDATE ON top_ups TO brimful_api, brimful_portal, brimful_engine;

GRANT INSERT, UPDATE ON payments TO brimful_portal, brimful_engine;

GRANT INSERT, UPDATE ON rule_states TO brimful_api, brimful_portal, brimful_engine;

-- The API.
GRANT INSERT, UPDATE ON customers, rates TO brimful_api;

GRANT INSERT ON assets, portal_links, idempotency TO brimful_api;

GRANT INSERT, UPDATE ON api_keys TO brimful_api;

GRANT DELETE ON aliases TO brimful_api;

GRANT INSERT ON stripe_events TO brimful_api;

-- The portal: the customer's own actions.
GRANT INSERT, UPDATE ON rules, card_setups, portal_sessions TO brimful_portal;

GRANT INSERT ON consents, consent_evidence TO brimful_portal;

GRANT UPDATE (used_at) ON portal_links TO brimful_portal;

GRANT UPDATE (is_default, state, state_reason, updated_at) ON cards TO brimful_portal;

GRANT UPDATE (stripe_customer_id) ON customers TO brimful_portal;

-- The worker.
GRANT INSERT, UPDATE ON cards TO brimful_engine;

GRANT UPDATE (state, card_id, closed_at) ON card_setups TO brimful_engine;

GRANT UPDATE ON stripe_events TO brimful_engine;

GRANT UPDATE (stripe_customer_id) ON customers TO brimful_engine;

GRANT INSERT, UPDATE, DELETE ON card_tries TO brimful_portal, brimful_engine;

GRANT INSERT ON portal_links TO brimful_engine;

-- Jobs are deferred by every role and run by the engine.
GRANT INSERT, UPDATE ON procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers
    TO brimful_api, brimful_portal;

GRANT INSERT, UPDATE, DELETE
    ON procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers, procrastinate_workers
    TO brimful_engine;

GRANT UPDATE (locale) ON customers TO brimful_portal;
REVOKE SELECT ON emails FROM brimful_portal;
GRANT INSERT ON emails TO brimful_api;
GRANT INSERT, UPDATE ON emails TO brimful_engine;
GRANT INSERT, UPDATE ON refunds, disputes TO brimful_engine;
GRANT INSERT ON refunds TO brimful_api;
GRANT INSERT, UPDATE, DELETE ON suspensions TO brimful_engine;
GRANT UPDATE ON restore_guard, installation TO brimful_engine;

GRANT INSERT, UPDATE, DELETE ON workers TO brimful_engine;
GRANT INSERT, UPDATE, DELETE ON verified_marks TO brimful_engine;
GRANT INSERT, UPDATE ON verifications TO brimful_engine;
GRANT UPDATE (bridge_max) ON assets TO brimful_api;
GRANT SELECT ON holds, alerts, deliveries, delivery_attempts, broken_i1_holds
    TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT ON holds TO brimful_api;
GRANT UPDATE (state, captured, ended_at) ON holds TO brimful_api, brimful_engine;
GRANT UPDATE (level) ON alerts TO brimful_api, brimful_portal, brimful_engine;
GRANT INSERT, DELETE, UPDATE (threshold, updated_at) ON alerts TO brimful_api, brimful_portal;
GRANT SELECT (endpoint_id, topics, enabled) ON webhook_endpoints TO brimful_portal;
GRANT SELECT ON webhook_endpoints TO brimful_api, brimful_engine;
GRANT INSERT, UPDATE, DELETE ON webhook_endpoints TO brimful_api;
GRANT UPDATE (enabled, disabled_reason, failing_since, updated_at) ON webhook_endpoints TO brimful_engine;
GRANT INSERT ON deliveries TO brimful_api, brimful_portal, brimful_engine;
GRANT UPDATE (state, attempts, next_at, ended_at) ON deliveries TO brimful_api, brimful_engine;
GRANT DELETE ON deliveries TO brimful_api;
GRANT INSERT ON delivery_attempts TO brimful_engine;
REVOKE SELECT ON operators, operator_tries, operator_sessions FROM brimful_api, brimful_portal;
GRANT INSERT, UPDATE ON operators, operator_tries, operator_sessions TO brimful_engine;
GRANT DELETE ON operator_tries TO brimful_engine;
GRANT INSERT ON accepted_differences TO brimful_engine;
GRANT SELECT ON webhook_rejections TO brimful_api, brimful_engine;
GRANT INSERT, UPDATE ON webhook_rejections TO brimful_api;
REVOKE SELECT ON step_up_codes FROM brimful_api, brimful_engine;
GRANT INSERT, UPDATE ON step_up_codes TO brimful_portal;
REVOKE SELECT ON card_attempts FROM brimful_api;
GRANT INSERT, UPDATE ON card_attempts TO brimful_portal;
GRANT DELETE ON card_attempts TO brimful_engine;
REVOKE SELECT ON webhook_endpoints FROM brimful_portal;
GRANT SELECT (endpoint_id, enabled, topics) ON webhook_endpoints TO brimful_portal;
GRANT SELECT (session_id, link_id, expires_at), DELETE ON portal_sessions TO brimful_engine;
GRANT DELETE ON portal_links, operator_sessions TO brimful_engine;
GRANT SELECT (customer_id, revoked_at), UPDATE (revoked_at) ON portal_sessions TO brimful_engine;
GRANT UPDATE (expires_at) ON portal_links TO brimful_engine;
GRANT SELECT, INSERT, UPDATE ON token_buckets, breakers TO brimful_api, brimful_portal, brimful_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_limit_uses TO brimful_api;
REVOKE SELECT ON rate_limit_uses FROM brimful_portal, brimful_engine;

RESET ROLE;
