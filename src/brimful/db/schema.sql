CREATE TABLE public.accepted_differences (
    payment_id text NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamp with time zone NOT NULL,
    CONSTRAINT accepted_differences_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 500)))
);
CREATE TABLE public.accounts (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    balance numeric(38,12) DEFAULT 0 NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    mac bytea DEFAULT '\x'::bytea NOT NULL,
    trigger_below numeric(38,12),
    created_at timestamp with time zone NOT NULL,
    held numeric(38,12) DEFAULT 0 NOT NULL,
    alert_below numeric(38,12),
    erased boolean DEFAULT false NOT NULL,
    lots_due_at timestamp with time zone,
    budgeted boolean DEFAULT false NOT NULL,
    budgets_version bigint DEFAULT 0 NOT NULL,
    CONSTRAINT accounts_check CHECK ((octet_length(mac) =
CASE
    WHEN (seq = 0) THEN 0
    ELSE 17
END)),
    CONSTRAINT accounts_held_check CHECK ((held >= (0)::numeric)),
    CONSTRAINT accounts_seq_check CHECK ((seq >= 0))
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');
CREATE TABLE public.alerts (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    threshold numeric(38,12) NOT NULL,
    level text NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT alerts_level_check CHECK ((level = ANY (ARRAY['ok'::text, 'low'::text, 'depleted'::text]))),
    CONSTRAINT alerts_threshold_check CHECK ((threshold > (0)::numeric))
);
CREATE TABLE public.aliases (
    kind text NOT NULL,
    value text NOT NULL,
    customer_id uuid NOT NULL,
    target_id text NOT NULL,
    CONSTRAINT aliases_kind_check CHECK ((kind = ANY (ARRAY['external_id'::text, 'stripe_customer'::text, 'payment_intent'::text, 'checkout_session'::text, 'payment_method'::text, 'top_up'::text])))
);
CREATE TABLE public.budget_counters (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    bundle integer NOT NULL,
    windows text NOT NULL,
    CONSTRAINT budget_counters_bundle_check CHECK ((bundle >= 0))
)
WITH (fillfactor='50');
CREATE TABLE public.budget_windows (
    customer_id uuid NOT NULL,
    budget_id text NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    used numeric(38,12) NOT NULL,
    held numeric(38,12) NOT NULL,
    beyond numeric(38,12) NOT NULL,
    most numeric(38,12) NOT NULL,
    announced smallint NOT NULL,
    CONSTRAINT budget_windows_check CHECK ((ends_at > starts_at)),
    CONSTRAINT budget_windows_check1 CHECK (((beyond >= (0)::numeric) AND (beyond <= used))),
    CONSTRAINT budget_windows_held_check CHECK ((held >= (0)::numeric)),
    CONSTRAINT budget_windows_used_check CHECK ((used >= (0)::numeric))
)
WITH (fillfactor='70');
CREATE VIEW public.all_budget_windows AS
 SELECT c.customer_id,
    (e.w ->> 0) AS budget_id,
    to_timestamp((((e.w ->> 1))::bigint)::double precision) AS starts_at,
    to_timestamp((((e.w ->> 2))::bigint)::double precision) AS ends_at,
    ((e.w ->> 4))::numeric AS used,
    ((e.w ->> 5))::numeric AS held,
    ((e.w ->> 6))::numeric AS beyond,
    ((e.w ->> 7))::numeric AS most
   FROM (public.budget_counters c
     CROSS JOIN LATERAL jsonb_array_elements((c.windows)::jsonb) e(w))
UNION ALL
 SELECT budget_windows.customer_id,
    budget_windows.budget_id,
    budget_windows.starts_at,
    budget_windows.ends_at,
    budget_windows.used,
    budget_windows.held,
    budget_windows.beyond,
    budget_windows.most
   FROM public.budget_windows;
CREATE TABLE public.api_keys (
    key_id text NOT NULL,
    name text NOT NULL,
    hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT api_keys_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT api_keys_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100)))
);
CREATE TABLE public.archive_marks (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    balance numeric(38,12) NOT NULL,
    mac bytea NOT NULL,
    dropped numeric(38,12) NOT NULL,
    kept bytea NOT NULL,
    signature bytea NOT NULL,
    archived_at timestamp with time zone NOT NULL,
    CONSTRAINT archive_marks_kept_check CHECK ((octet_length(kept) = 32)),
    CONSTRAINT archive_marks_mac_check CHECK ((octet_length(mac) = 17)),
    CONSTRAINT archive_marks_seq_check CHECK ((seq > 0))
);
CREATE TABLE public.archived_keys (
    customer_id uuid NOT NULL,
    key_digest bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    asset text NOT NULL,
    amount numeric(38,12) NOT NULL,
    balance_after numeric(38,12) NOT NULL,
    key text NOT NULL
);
CREATE TABLE public.assets (
    code text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    scale smallint NOT NULL,
    label text,
    symbol text,
    created_at timestamp with time zone NOT NULL,
    bridge_max numeric(38,12) DEFAULT 0 NOT NULL,
    CONSTRAINT assets_bridge_max_check CHECK ((bridge_max >= (0)::numeric)),
    CONSTRAINT assets_check CHECK (((kind = 'unit'::text) OR (code ~ '^[A-Z]{3}$'::text))),
    CONSTRAINT assets_code_check CHECK ((code ~ '^[A-Z][A-Z0-9_]{1,31}$'::text)),
    CONSTRAINT assets_kind_check CHECK ((kind = ANY (ARRAY['currency'::text, 'unit'::text]))),
    CONSTRAINT assets_label_check CHECK ((length(label) <= 50)),
    CONSTRAINT assets_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT assets_scale_check CHECK (((scale >= 0) AND (scale <= 12))),
    CONSTRAINT assets_symbol_check CHECK ((length(symbol) <= 8))
);
CREATE TABLE public.audit (
    audit_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    customer_id uuid,
    before jsonb,
    after jsonb
);
CREATE UNLOGGED TABLE public.breakers (
    name text NOT NULL,
    lost integer NOT NULL,
    probe_at timestamp with time zone NOT NULL,
    CONSTRAINT breakers_lost_check CHECK ((lost >= 0))
);
CREATE TABLE public.consents (
    customer_id uuid NOT NULL,
    consent_id text NOT NULL,
    kind text NOT NULL,
    action text NOT NULL,
    withdraws text,
    asset text,
    card_id text,
    currency text,
    threshold numeric(38,12),
    amount_minor bigint,
    limit_minor bigint,
    terms_version text NOT NULL,
    locale text NOT NULL,
    text_hash bytea NOT NULL,
    evidence_hash bytea NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    charge_max_minor bigint,
    target numeric(38,12),
    day_limit_minor bigint,
    exposure_day_minor bigint,
    rate numeric(38,12),
    rate_per numeric(38,12),
    lasts_days integer,
    ask_above_minor bigint,
    ask_after integer,
    brake boolean,
    threshold_low numeric(38,12),
    backup_card_id text,
    promotional_counts boolean,
    CONSTRAINT consents_action_check CHECK ((action = ANY (ARRAY['given'::text, 'withdrawn'::text]))),
    CONSTRAINT consents_ask_above_minor_check CHECK ((ask_above_minor > 0)),
    CONSTRAINT consents_ask_after_check CHECK ((ask_after > 0)),
    CONSTRAINT consents_check CHECK (((action = 'withdrawn'::text) = (withdraws IS NOT NULL))),
    CONSTRAINT consents_check1 CHECK (((kind = 'save_card'::text) OR ((asset IS NOT NULL) AND (card_id IS NOT NULL) AND (currency IS NOT NULL) AND (threshold IS NOT NULL) AND (amount_minor > 0) AND (limit_minor >= amount_minor)))),
    CONSTRAINT consents_check2 CHECK ((charge_max_minor >= amount_minor)),
    CONSTRAINT consents_check3 CHECK ((target > threshold)),
    CONSTRAINT consents_check4 CHECK (((rate IS NULL) = (rate_per IS NULL))),
    CONSTRAINT consents_check5 CHECK ((threshold_low < threshold)),
    CONSTRAINT consents_check6 CHECK ((backup_card_id <> card_id)),
    CONSTRAINT consents_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT consents_day_limit_minor_check CHECK ((day_limit_minor > 0)),
    CONSTRAINT consents_kind_check CHECK ((kind = ANY (ARRAY['save_card'::text, 'auto_top_up'::text]))),
    CONSTRAINT consents_lasts_days_check CHECK ((lasts_days > 0)),
    CONSTRAINT consents_rate_check CHECK ((rate > (0)::numeric)),
    CONSTRAINT consents_rate_per_check CHECK ((rate_per > (0)::numeric)),
    CONSTRAINT consents_threshold_low_check CHECK ((threshold_low > (0)::numeric))
);
CREATE TABLE public.payments (
    customer_id uuid NOT NULL,
    payment_id text NOT NULL,
    top_up_id text NOT NULL,
    kind text NOT NULL,
    presence text NOT NULL,
    state text NOT NULL,
    card_id text,
    currency text NOT NULL,
    amount_minor bigint NOT NULL,
    stripe_intent_id text,
    stripe_session_id text,
    redirect_url text,
    setup_id text,
    error_code text,
    decline_code text,
    advice_code text,
    created_at timestamp with time zone NOT NULL,
    confirm_sent_at timestamp with time zone,
    closed_at timestamp with time zone,
    receipt_url text,
    request jsonb,
    CONSTRAINT payments_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT payments_check CHECK (((closed_at IS NOT NULL) = (state = ANY (ARRAY['succeeded'::text, 'canceled'::text, 'expired'::text, 'abandoned'::text])))),
    CONSTRAINT payments_check1 CHECK (((state <> 'abandoned'::text) OR (confirm_sent_at IS NULL))),
    CONSTRAINT payments_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT payments_kind_check CHECK ((kind = ANY (ARRAY['intent'::text, 'checkout'::text]))),
    CONSTRAINT payments_presence_check CHECK ((presence = ANY (ARRAY['off_session'::text, 'on_session'::text]))),
    CONSTRAINT payments_state_check CHECK ((state = ANY (ARRAY['new'::text, 'created'::text, 'confirming'::text, 'succeeded'::text, 'canceled'::text, 'expired'::text, 'abandoned'::text])))
);
CREATE TABLE public.top_ups (
    customer_id uuid NOT NULL,
    top_up_id text NOT NULL,
    asset text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    next_state text,
    reason text,
    currency text NOT NULL,
    amount_minor bigint NOT NULL,
    units numeric(38,12) NOT NULL,
    rate numeric(38,12) NOT NULL,
    card_id text,
    consent_id text,
    rule_version integer,
    limit_month date,
    fence integer DEFAULT 0 NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    polls integer DEFAULT 0 NOT NULL,
    needs_review boolean DEFAULT false NOT NULL,
    wake_at timestamp with time zone,
    expires_at timestamp with time zone,
    requested_at timestamp with time zone NOT NULL,
    confirmed_at timestamp with time zone,
    ended_at timestamp with time zone,
    balance_after numeric(38,12),
    return_url text,
    failure_url text,
    description text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    available_after numeric(38,12),
    rate_per numeric(38,12) DEFAULT 1 NOT NULL,
    cut boolean DEFAULT false NOT NULL,
    asked text,
    credit_expires_at timestamp with time zone,
    bonus_units numeric(38,12),
    bonus_days integer,
    offer_version integer,
    CONSTRAINT top_ups_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT top_ups_asked_check CHECK ((asked = ANY (ARRAY['large_charge'::text, 'many_charges'::text, 'unusual_use'::text]))),
    CONSTRAINT top_ups_bonus_units_check CHECK ((bonus_units > (0)::numeric)),
    CONSTRAINT top_ups_check CHECK (((ended_at IS NOT NULL) = (state = ANY (ARRAY['succeeded'::text, 'failed'::text, 'canceled'::text])))),
    CONSTRAINT top_ups_check1 CHECK (((next_state IS NOT NULL) = (state = 'canceling'::text))),
    CONSTRAINT top_ups_check2 CHECK (((ended_at IS NULL) OR (wake_at IS NULL))),
    CONSTRAINT top_ups_check3 CHECK (((kind = 'manual'::text) OR ((card_id IS NOT NULL) AND (consent_id IS NOT NULL) AND (rule_version IS NOT NULL) AND (limit_month IS NOT NULL)))),
    CONSTRAINT top_ups_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT top_ups_description_check CHECK ((length(description) <= 500)),
    CONSTRAINT top_ups_kind_check CHECK ((kind = ANY (ARRAY['automatic'::text, 'manual'::text]))),
    CONSTRAINT top_ups_next_state_check CHECK ((next_state = ANY (ARRAY['retry_wait'::text, 'action_required'::text, 'failed'::text, 'canceled'::text]))),
    CONSTRAINT top_ups_rate_check CHECK ((rate > (0)::numeric)),
    CONSTRAINT top_ups_rate_per_check CHECK ((rate_per > (0)::numeric)),
    CONSTRAINT top_ups_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'intent_created'::text, 'confirming'::text, 'processing'::text, 'unknown'::text, 'action_required'::text, 'retry_wait'::text, 'canceling'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text]))),
    CONSTRAINT top_ups_units_check CHECK ((units > (0)::numeric))
);
CREATE VIEW public.broken_i10 AS
 SELECT p.customer_id,
    p.payment_id
   FROM ((public.payments p
     JOIN public.top_ups t ON (((t.customer_id = p.customer_id) AND (t.top_up_id = p.top_up_id))))
     JOIN public.consents c ON (((c.customer_id = t.customer_id) AND (c.consent_id = t.consent_id))))
  WHERE ((t.kind = 'automatic'::text) AND (p.presence = 'off_session'::text) AND (p.confirm_sent_at IS NOT NULL) AND ((NOT COALESCE(((p.card_id = c.card_id) OR (p.card_id = COALESCE(c.backup_card_id, c.card_id))), false)) OR (p.currency IS DISTINCT FROM c.currency) OR (p.amount_minor > COALESCE(c.charge_max_minor, c.amount_minor))));
CREATE TABLE public.rule_states (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    paused_at timestamp with time zone,
    pause_reason text,
    not_before timestamp with time zone,
    wake_at timestamp with time zone,
    reason text NOT NULL,
    reason_at timestamp with time zone NOT NULL,
    threshold numeric(38,12) NOT NULL,
    CONSTRAINT rule_states_check CHECK (((paused_at IS NULL) = (pause_reason IS NULL))),
    CONSTRAINT rule_states_threshold_check CHECK ((threshold > (0)::numeric))
);
CREATE TABLE public.rules (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    enabled boolean NOT NULL,
    card_id text NOT NULL,
    currency text NOT NULL,
    threshold numeric(38,12) NOT NULL,
    amount_minor bigint NOT NULL,
    limit_minor bigint NOT NULL,
    consent_id text NOT NULL,
    version integer NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    charge_max_minor bigint,
    target numeric(38,12),
    day_limit_minor bigint,
    least_minor bigint,
    rate numeric(38,12),
    rate_per numeric(38,12),
    lasts_days integer,
    ask_above_minor bigint,
    ask_after integer,
    brake boolean,
    threshold_low numeric(38,12),
    backup_card_id text,
    promotional_counts boolean,
    CONSTRAINT rules_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT rules_ask_above_minor_check CHECK ((ask_above_minor > 0)),
    CONSTRAINT rules_ask_after_check CHECK ((ask_after > 0)),
    CONSTRAINT rules_check CHECK ((limit_minor >= amount_minor)),
    CONSTRAINT rules_check1 CHECK (((charge_max_minor >= amount_minor) AND (charge_max_minor <= limit_minor))),
    CONSTRAINT rules_check2 CHECK ((target > threshold)),
    CONSTRAINT rules_check3 CHECK ((day_limit_minor >= COALESCE(charge_max_minor, amount_minor))),
    CONSTRAINT rules_check4 CHECK (((rate IS NULL) = (rate_per IS NULL))),
    CONSTRAINT rules_check5 CHECK (((lasts_days IS NULL) OR (target IS NULL))),
    CONSTRAINT rules_check6 CHECK ((threshold_low < threshold)),
    CONSTRAINT rules_check7 CHECK ((backup_card_id <> card_id)),
    CONSTRAINT rules_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT rules_lasts_days_check CHECK ((lasts_days > 0)),
    CONSTRAINT rules_least_minor_check CHECK ((least_minor > 0)),
    CONSTRAINT rules_rate_check CHECK ((rate > (0)::numeric)),
    CONSTRAINT rules_rate_per_check CHECK ((rate_per > (0)::numeric)),
    CONSTRAINT rules_threshold_check CHECK ((threshold > (0)::numeric)),
    CONSTRAINT rules_threshold_low_check CHECK ((threshold_low > (0)::numeric)),
    CONSTRAINT rules_version_check CHECK ((version > 0))
);
CREATE VIEW public.broken_i12 AS
 SELECT r.customer_id,
    r.asset AS thing,
    'below its threshold without a top-up or a reason'::text AS what
   FROM ((public.rules r
     JOIN public.accounts a ON (((a.customer_id = r.customer_id) AND (a.asset = r.asset))))
     JOIN public.rule_states s ON (((s.customer_id = r.customer_id) AND (s.asset = r.asset))))
  WHERE (r.enabled AND ((a.balance - a.held) < s.threshold) AND (s.reason = ANY (ARRAY['armed'::text, 'off'::text, 'triggered'::text, 'in_flight'::text])) AND (NOT (EXISTS ( SELECT
           FROM public.top_ups t
          WHERE ((t.customer_id = r.customer_id) AND (t.asset = r.asset) AND (t.kind = 'automatic'::text) AND (t.ended_at IS NULL))))))
UNION ALL
 SELECT a.customer_id,
    a.asset AS thing,
    'its trigger differs from its rule'::text AS what
   FROM (((public.accounts a
     LEFT JOIN public.rules r ON (((r.customer_id = a.customer_id) AND (r.asset = a.asset))))
     LEFT JOIN public.rule_states s ON (((s.customer_id = a.customer_id) AND (s.asset = a.asset))))
     LEFT JOIN public.top_ups t ON (((t.customer_id = a.customer_id) AND (t.asset = a.asset) AND (t.kind = 'automatic'::text) AND (t.ended_at IS NULL))))
  WHERE
        CASE
            WHEN (r.enabled AND (s.paused_at IS NULL) AND (s.reason = 'armed'::text) AND (t.top_up_id IS NULL) AND (NOT r.promotional_counts)) THEN ((a.trigger_below >= s.threshold) IS NOT TRUE)
            ELSE (a.trigger_below IS DISTINCT FROM
            CASE
                WHEN (r.enabled AND (s.paused_at IS NULL) AND (s.reason = 'armed'::text) AND (t.top_up_id IS NULL)) THEN s.threshold
                ELSE NULL::numeric
            END)
        END
UNION ALL
 SELECT top_ups.customer_id,
    top_ups.top_up_id AS thing,
    'not checked for 15 minutes'::text AS what
   FROM public.top_ups
  WHERE ((top_ups.ended_at IS NULL) AND (COALESCE(top_ups.wake_at, top_ups.requested_at) < (clock_timestamp() - '00:15:00'::interval)))
UNION ALL
 SELECT r.customer_id,
    r.asset AS thing,
    'its threshold is not within the customer''s bounds'::text AS what
   FROM (public.rules r
     JOIN public.rule_states s ON (((s.customer_id = r.customer_id) AND (s.asset = r.asset))))
  WHERE (NOT ((s.threshold >= COALESCE(r.threshold_low, r.threshold)) AND (s.threshold <= r.threshold)));
CREATE VIEW public.broken_i14 AS
 SELECT t.customer_id,
    t.top_up_id
   FROM (public.top_ups t
     JOIN public.consents c ON (((c.customer_id = t.customer_id) AND (c.consent_id = t.consent_id))))
  WHERE ((t.kind = 'automatic'::text) AND (t.confirmed_at IS NOT NULL) AND ((c.exposure_day_minor)::numeric < ( SELECT sum(o.amount_minor) AS sum
           FROM public.top_ups o
          WHERE ((o.customer_id = t.customer_id) AND (o.asset = t.asset) AND (o.kind = 'automatic'::text) AND (o.consent_id = t.consent_id) AND (o.confirmed_at > (t.confirmed_at - '24:00:00'::interval)) AND (o.confirmed_at <= t.confirmed_at) AND ((o.state <> ALL (ARRAY['failed'::text, 'canceled'::text])) OR (o.balance_after IS NOT NULL))))))
UNION
 SELECT t.customer_id,
    t.top_up_id
   FROM (public.top_ups t
     JOIN public.consents c ON (((c.customer_id = t.customer_id) AND (c.consent_id = t.consent_id))))
  WHERE ((t.kind = 'automatic'::text) AND (t.asked IS NULL) AND (t.confirmed_at IS NOT NULL) AND ((t.amount_minor > c.ask_above_minor) OR (c.ask_after < ( SELECT count(*) AS count
           FROM public.top_ups o
          WHERE ((o.customer_id = t.customer_id) AND (o.asset = t.asset) AND (o.kind = 'automatic'::text) AND (o.consent_id = t.consent_id) AND (o.asked IS NULL) AND (o.confirmed_at > (t.confirmed_at - '24:00:00'::interval)) AND (o.confirmed_at <= t.confirmed_at) AND ((o.state <> ALL (ARRAY['failed'::text, 'canceled'::text])) OR (o.balance_after IS NOT NULL)))))))
UNION
 SELECT t.customer_id,
    t.top_up_id
   FROM (public.top_ups t
     JOIN public.payments p ON (((p.customer_id = t.customer_id) AND (p.top_up_id = t.top_up_id))))
  WHERE ((t.asked IS NOT NULL) AND (p.presence = 'off_session'::text) AND (p.confirm_sent_at IS NOT NULL));
CREATE TABLE public.entries (
    customer_id uuid NOT NULL,
    seq bigint NOT NULL,
    key_digest bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    occurred_at timestamp with time zone,
    money_minor bigint,
    asset text NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    amount numeric(38,12) NOT NULL,
    balance_after numeric(38,12) NOT NULL,
    key text NOT NULL,
    payment_id text,
    currency text,
    mac bytea NOT NULL,
    lot_seq bigint,
    purpose text,
    priority smallint,
    effective_at timestamp with time zone,
    expires_at timestamp with time zone,
    CONSTRAINT entries_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT entries_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255))),
    CONSTRAINT entries_lot CHECK ((((priority >= 0) AND (priority <= 100)) AND ((purpose IS NULL) = (priority IS NULL)) AND ((lot_seq IS NULL) OR (amount < (0)::numeric)) AND ((purpose IS NOT NULL) OR ((effective_at IS NULL) AND (expires_at IS NULL))))),
    CONSTRAINT entries_mac_check CHECK ((octet_length(mac) = 17)),
    CONSTRAINT entries_money CHECK ((((money_minor IS NULL) = (currency IS NULL)) AND ((money_minor IS NULL) = (payment_id IS NULL)) AND ((money_minor IS NULL) = (kind = ANY (ARRAY['usage'::text, 'charge'::text, 'adjustment'::text, 'bonus'::text, 'expiry'::text]))))),
    CONSTRAINT entries_seq_check CHECK ((seq > 0)),
    CONSTRAINT entries_sign CHECK (
CASE kind
    WHEN 'usage'::text THEN ((amount < (0)::numeric) AND (source = ANY (ARRAY['usage'::text, 'hold'::text])))
    WHEN 'charge'::text THEN ((amount < (0)::numeric) AND (source = 'api'::text))
    WHEN 'adjustment'::text THEN ((amount <> (0)::numeric) AND (source = ANY (ARRAY['api'::text, 'system'::text])))
    WHEN 'top_up'::text THEN ((amount > (0)::numeric) AND (money_minor > 0) AND (source = 'stripe'::text))
    WHEN 'refund'::text THEN ((amount <= (0)::numeric) AND (money_minor < 0) AND (source = 'stripe'::text))
    WHEN 'dispute'::text THEN ((amount <= (0)::numeric) AND (money_minor < 0) AND (source = 'stripe'::text))
    WHEN 'reinstatement'::text THEN ((amount >= (0)::numeric) AND (money_minor > 0) AND (source = 'stripe'::text))
    WHEN 'bonus'::text THEN ((amount <> (0)::numeric) AND ((amount > (0)::numeric) = (purpose IS NOT NULL)) AND (source = 'system'::text))
    WHEN 'expiry'::text THEN ((amount < (0)::numeric) AND (lot_seq IS NOT NULL) AND (source = 'system'::text))
    ELSE false
END),
    CONSTRAINT entries_source_check CHECK ((source = ANY (ARRAY['usage'::text, 'hold'::text, 'api'::text, 'stripe'::text, 'system'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');
CREATE TABLE public.usage_hours (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    hour timestamp with time zone NOT NULL,
    used numeric(38,12) NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    CONSTRAINT usage_hours_check CHECK ((last_seq >= first_seq)),
    CONSTRAINT usage_hours_first_seq_check CHECK ((first_seq > 0)),
    CONSTRAINT usage_hours_hour_check CHECK ((hour = date_trunc('hour'::text, hour, 'UTC'::text))),
    CONSTRAINT usage_hours_used_check CHECK ((used >= (0)::numeric))
);
CREATE VIEW public.broken_i15 AS
 SELECT u.customer_id,
    u.asset,
    u.hour
   FROM (public.usage_hours u
     LEFT JOIN public.archive_marks r ON (((r.customer_id = u.customer_id) AND (r.asset = u.asset))))
  WHERE ((u.first_seq > COALESCE(r.seq, (0)::bigint)) AND (u.used <> ( SELECT COALESCE((- sum(e.amount) FILTER (WHERE (e.kind = ANY (ARRAY['usage'::text, 'charge'::text])))), (0)::numeric) AS "coalesce"
           FROM public.entries e
          WHERE ((e.customer_id = u.customer_id) AND (e.asset = u.asset) AND ((e.seq >= u.first_seq) AND (e.seq <= u.last_seq))))));
CREATE TABLE public.budgets (
    customer_id uuid NOT NULL,
    budget_id text NOT NULL,
    asset text NOT NULL,
    tag text NOT NULL,
    name text,
    span text NOT NULL,
    amount numeric(38,12) NOT NULL,
    hard boolean NOT NULL,
    ancestors text[] DEFAULT '{}'::text[] NOT NULL,
    set_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    since_seq bigint NOT NULL,
    until_seq bigint,
    bundle integer NOT NULL,
    used_before numeric(38,12) DEFAULT 0 NOT NULL,
    CONSTRAINT budgets_amount_check CHECK ((amount >= (0)::numeric)),
    CONSTRAINT budgets_budget_id_check CHECK ((budget_id ~ '^[A-Za-z0-9._:~-]{1,128}$'::text)),
    CONSTRAINT budgets_bundle_check CHECK ((bundle >= 0)),
    CONSTRAINT budgets_check CHECK (((cardinality(ancestors) <= 3) AND (NOT (budget_id = ANY (ancestors))))),
    CONSTRAINT budgets_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100))),
    CONSTRAINT budgets_set_by_check CHECK ((set_by = ANY (ARRAY['platform'::text, 'customer'::text]))),
    CONSTRAINT budgets_since_seq_check CHECK ((since_seq >= 0)),
    CONSTRAINT budgets_span_check CHECK ((span = ANY (ARRAY['day'::text, 'week'::text, 'month'::text, 'rolling_24h'::text, 'total'::text]))),
    CONSTRAINT budgets_tag_check CHECK ((length(tag) <= 700))
);
CREATE TABLE public.holds (
    customer_id uuid NOT NULL,
    hold_id text NOT NULL,
    asset text NOT NULL,
    amount numeric(38,12) NOT NULL,
    state text NOT NULL,
    captured numeric(38,12),
    description text,
    expires_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    subject text,
    dimensions jsonb,
    counted jsonb,
    leased boolean DEFAULT false NOT NULL,
    CONSTRAINT holds_amount_check CHECK (((amount > (0)::numeric) OR (leased AND (amount = (0)::numeric)))),
    CONSTRAINT holds_captured_check CHECK ((captured > (0)::numeric)),
    CONSTRAINT holds_check CHECK (((ended_at IS NULL) = (state = 'open'::text))),
    CONSTRAINT holds_check1 CHECK (((captured IS NOT NULL) = (state = 'captured'::text))),
    CONSTRAINT holds_description_check CHECK ((length(description) <= 500)),
    CONSTRAINT holds_hold_id_check CHECK ((hold_id ~ '^(refund/)?[A-Za-z0-9._:~-]{1,128}$'::text)),
    CONSTRAINT holds_state_check CHECK ((state = ANY (ARRAY['open'::text, 'captured'::text, 'released'::text, 'expired'::text]))),
    CONSTRAINT holds_subject_check CHECK (((length(subject) >= 1) AND (length(subject) <= 128)))
);
CREATE VIEW public.broken_i17 AS
 SELECT w.customer_id,
    w.budget_id AS thing,
    'more was used and held than it allowed'::text AS what
   FROM (public.all_budget_windows w
     JOIN public.budgets b ON (((b.customer_id = w.customer_id) AND (b.budget_id = w.budget_id))))
  WHERE (b.hard AND ( SELECT (sum(((o.used + o.held) - o.beyond)) > max(o.most))
           FROM public.all_budget_windows o
          WHERE ((o.customer_id = w.customer_id) AND (o.budget_id = w.budget_id) AND (o.ends_at <= w.ends_at) AND ((o.ends_at = w.ends_at) OR ((b.span = 'rolling_24h'::text) AND (o.ends_at > (w.ends_at - '24:15:00'::interval)))))))
UNION ALL
 SELECT COALESCE(c.customer_id, h.customer_id) AS customer_id,
    COALESCE(c.budget_id, h.budget_id) AS thing,
    'what it holds is not what is held for it'::text AS what
   FROM (( SELECT all_budget_windows.customer_id,
            all_budget_windows.budget_id,
            sum(all_budget_windows.held) AS held
           FROM public.all_budget_windows
          GROUP BY all_budget_windows.customer_id, all_budget_windows.budget_id) c
     FULL JOIN ( SELECT o.customer_id,
            (e.part ->> 0) AS budget_id,
            sum(o.amount) AS held
           FROM (public.holds o
             CROSS JOIN LATERAL jsonb_array_elements(o.counted) e(part))
          WHERE (o.state = 'open'::text)
          GROUP BY o.customer_id, (e.part ->> 0)) h ON (((h.customer_id = c.customer_id) AND (h.budget_id = c.budget_id))))
  WHERE (COALESCE(c.held, (0)::numeric) <> COALESCE(h.held, (0)::numeric));
CREATE TABLE public.entry_notes (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    description text,
    metadata jsonb,
    subject text,
    dimensions jsonb,
    counted jsonb,
    CONSTRAINT entry_notes_description_check CHECK ((length(description) <= 500)),
    CONSTRAINT entry_notes_subject_check CHECK (((length(subject) >= 1) AND (length(subject) <= 128)))
);
CREATE VIEW public.broken_i17_used AS
 SELECT b.customer_id,
    b.budget_id AS thing,
    'what it counted is not what was used'::text AS what
   FROM (((public.budgets b
     LEFT JOIN public.archive_marks r ON (((r.customer_id = b.customer_id) AND (r.asset = b.asset))))
     LEFT JOIN ( SELECT all_budget_windows.customer_id,
            all_budget_windows.budget_id,
            sum(all_budget_windows.used) AS used
           FROM public.all_budget_windows
          GROUP BY all_budget_windows.customer_id, all_budget_windows.budget_id) c ON (((c.customer_id = b.customer_id) AND (c.budget_id = b.budget_id))))
     LEFT JOIN ( SELECT u.customer_id,
            u.budget_id,
            (- sum(u.amount)) AS used
           FROM ( SELECT DISTINCT e_1.customer_id,
                    e_1.asset,
                    e_1.seq,
                    e_1.amount,
                    f.budget_id
                   FROM ((((public.entries e_1
                     LEFT JOIN public.entry_notes n ON (((n.customer_id = e_1.customer_id) AND (n.asset = e_1.asset) AND (n.seq = e_1.seq))))
                     CROSS JOIN LATERAL ( SELECT '[]'::text AS tag
                        UNION ALL
                         SELECT (jsonb_build_array(n.subject))::text AS jsonb_build_array
                          WHERE (n.subject IS NOT NULL)
                        UNION ALL
                         SELECT (jsonb_build_array(d.key, d.value))::text AS jsonb_build_array
                           FROM jsonb_each_text(COALESCE(n.dimensions, '{}'::jsonb)) d(key, value)) t)
                     JOIN public.budgets m ON (((m.customer_id = e_1.customer_id) AND (m.asset = e_1.asset) AND (m.tag = t.tag) AND (m.since_seq < e_1.seq) AND ((m.until_seq IS NULL) OR (e_1.seq <= m.until_seq)))))
                     CROSS JOIN LATERAL unnest((m.budget_id || m.ancestors)) f(budget_id))
                  WHERE ((e_1.kind = ANY (ARRAY['usage'::text, 'charge'::text])) AND (e_1.source <> 'hold'::text))
                UNION ALL
                 SELECT e_1.customer_id,
                    e_1.asset,
                    e_1.seq,
                    (- (f.used)::numeric),
                    f.budget_id
                   FROM ((public.entries e_1
                     JOIN public.entry_notes n ON (((n.customer_id = e_1.customer_id) AND (n.asset = e_1.asset) AND (n.seq = e_1.seq))))
                     CROSS JOIN LATERAL jsonb_each_text(n.counted) f(budget_id, used))
                  WHERE (e_1.source = 'hold'::text)) u
          GROUP BY u.customer_id, u.budget_id) e ON (((e.customer_id = b.customer_id) AND (e.budget_id = b.budget_id))))
  WHERE ((COALESCE(r.seq, (0)::bigint) <= b.since_seq) AND ((b.used_before + COALESCE(c.used, (0)::numeric)) <> COALESCE(e.used, (0)::numeric)));
CREATE VIEW public.broken_i1_holds AS
 SELECT a.customer_id,
    a.asset AS thing,
    'held is not the sum of its open holds'::text AS what
   FROM (public.accounts a
     LEFT JOIN ( SELECT holds.customer_id,
            holds.asset,
            sum(holds.amount) AS amount
           FROM public.holds
          WHERE (holds.state = 'open'::text)
          GROUP BY holds.customer_id, holds.asset) h ON (((h.customer_id = a.customer_id) AND (h.asset = a.asset))))
  WHERE (a.held <> COALESCE(h.amount, (0)::numeric))
UNION ALL
 SELECT h.customer_id,
    h.hold_id AS thing,
    'captured without its entry, or for another amount'::text AS what
   FROM (( SELECT holds.customer_id,
            holds.hold_id,
            holds.asset,
            holds.amount,
            holds.state,
            holds.captured,
            holds.description,
            holds.expires_at,
            holds.created_at,
            holds.ended_at,
            (('-8'::integer)::bigint & ((('x'::text || encode(substr(sha256(convert_to(('hold:'::text || holds.hold_id), 'UTF8'::name)), 1, 8), 'hex'::text)))::bit(64))::bigint) AS digest
           FROM public.holds) h
     LEFT JOIN public.entries e ON (((e.customer_id = h.customer_id) AND ((e.key_digest >= h.digest) AND (e.key_digest <= (h.digest + 7))) AND (e.source = 'hold'::text) AND (e.key = h.hold_id))))
  WHERE (((h.state = 'captured'::text) OR (e.key IS NOT NULL)) AND ((h.captured IS DISTINCT FROM (- e.amount)) OR (h.asset <> e.asset)))
UNION ALL
 SELECT a.customer_id,
    a.asset AS thing,
    'no alert was sent below its threshold'::text AS what
   FROM ((public.accounts a
     LEFT JOIN public.alerts l ON (((l.customer_id = a.customer_id) AND (l.asset = a.asset))))
     JOIN public.assets s ON ((s.code = a.asset)))
  WHERE ((a.alert_below IS DISTINCT FROM
        CASE l.level
            WHEN 'ok'::text THEN l.threshold
            WHEN 'low'::text THEN power((10)::numeric, ((- s.scale))::numeric)
            ELSE NULL::numeric
        END) OR ((a.balance - a.held) < a.alert_below));
CREATE TABLE public.refunds (
    customer_id uuid NOT NULL,
    refund_id text NOT NULL,
    payment_id text NOT NULL,
    stripe_refund_id text,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    state text NOT NULL,
    reason text,
    actor text NOT NULL,
    wake_at timestamp with time zone,
    polls integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    read_at timestamp with time zone,
    loss numeric(38,12),
    CONSTRAINT refunds_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT refunds_check CHECK (((closed_at IS NOT NULL) = (state = ANY (ARRAY['succeeded'::text, 'failed'::text, 'canceled'::text, 'refused'::text])))),
    CONSTRAINT refunds_check1 CHECK (((stripe_refund_id IS NOT NULL) OR (state = ANY (ARRAY['requested'::text, 'refused'::text])))),
    CONSTRAINT refunds_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT refunds_loss_check CHECK ((loss >= (0)::numeric)),
    CONSTRAINT refunds_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'pending'::text, 'succeeded'::text, 'failed'::text, 'canceled'::text, 'refused'::text])))
);
CREATE VIEW public.broken_i2 AS
 WITH taken AS (
         SELECT payments.currency,
            sum(payments.amount_minor) AS minor
           FROM public.payments
          WHERE (payments.state = 'succeeded'::text)
          GROUP BY payments.currency
        ), refunded AS (
         SELECT refunds.currency,
            sum(refunds.amount_minor) AS minor
           FROM public.refunds
          WHERE (refunds.state = ANY (ARRAY['pending'::text, 'succeeded'::text]))
          GROUP BY refunds.currency
        ), disputed AS (
         SELECT entries.currency,
            (- sum(entries.money_minor)) AS minor
           FROM public.entries
          WHERE ((entries.payment_id IS NOT NULL) AND ((entries.kind = 'dispute'::text) OR ((entries.kind = 'reinstatement'::text) AND (entries.key ~~ '%:reinstated'::text))))
          GROUP BY entries.currency
        ), booked AS (
         SELECT entries.currency,
            sum(entries.money_minor) AS minor
           FROM public.entries
          WHERE (entries.payment_id IS NOT NULL)
          GROUP BY entries.currency
        )
 SELECT currency,
    COALESCE(taken.minor, (0)::numeric) AS taken,
    COALESCE(refunded.minor, (0)::numeric) AS refunded,
    COALESCE(disputed.minor, (0)::numeric) AS disputed,
    COALESCE(booked.minor, (0)::numeric) AS booked
   FROM (((taken
     FULL JOIN refunded USING (currency))
     FULL JOIN disputed USING (currency))
     FULL JOIN booked USING (currency))
  WHERE (((COALESCE(taken.minor, (0)::numeric) - COALESCE(refunded.minor, (0)::numeric)) - COALESCE(disputed.minor, (0)::numeric)) <> COALESCE(booked.minor, (0)::numeric));
CREATE VIEW public.broken_i2_units AS
 SELECT p.customer_id,
    p.payment_id,
    sum(e.money_minor) AS money_left,
    sum(e.amount) AS units_left,
    t.units
   FROM ((public.entries e
     JOIN public.payments p ON (((p.customer_id = e.customer_id) AND (p.payment_id = e.payment_id))))
     JOIN public.top_ups t ON (((t.customer_id = p.customer_id) AND (t.top_up_id = p.top_up_id))))
  WHERE (e.payment_id IS NOT NULL)
  GROUP BY p.customer_id, p.payment_id, p.amount_minor, t.units
 HAVING (((sum(e.money_minor) = (p.amount_minor)::numeric) AND (sum(e.amount) <> t.units)) OR ((sum(e.money_minor) <= (0)::numeric) AND (sum(e.amount) <> (0)::numeric)) OR (sum(e.amount) < (0)::numeric) OR (sum(e.amount) > t.units));
CREATE VIEW public.broken_i3 AS
 SELECT customer_id,
    asset,
    count(*) AS live
   FROM public.top_ups
  WHERE ((kind = 'automatic'::text) AND (ended_at IS NULL))
  GROUP BY customer_id, asset
 HAVING (count(*) > 1);
CREATE VIEW public.broken_i4 AS
 WITH credits AS (
         SELECT entries.customer_id,
            entries.payment_id,
            count(*) AS credits
           FROM public.entries
          WHERE ((entries.payment_id IS NOT NULL) AND (entries.kind = 'top_up'::text))
          GROUP BY entries.customer_id, entries.payment_id
        )
 SELECT customer_id,
    payment_id,
    p.state,
    COALESCE(c.credits, (0)::bigint) AS credits
   FROM (public.payments p
     FULL JOIN credits c USING (customer_id, payment_id))
  WHERE (COALESCE(c.credits, (0)::bigint) <>
        CASE p.state
            WHEN 'succeeded'::text THEN 1
            ELSE 0
        END);
CREATE VIEW public.broken_i5 AS
 SELECT customer_id,
    top_up_id,
    count(*) AS succeeded
   FROM public.payments
  WHERE (state = 'succeeded'::text)
  GROUP BY customer_id, top_up_id
 HAVING (count(*) > 1);
CREATE VIEW public.broken_i8 AS
 SELECT t.customer_id,
    t.top_up_id,
    t.spent,
    c.limit_minor
   FROM (( SELECT top_ups.customer_id,
            top_ups.top_up_id,
            top_ups.consent_id,
            sum(top_ups.amount_minor) OVER (PARTITION BY top_ups.customer_id, top_ups.asset, top_ups.currency, top_ups.limit_month ORDER BY top_ups.confirmed_at) AS spent
           FROM public.top_ups
          WHERE ((top_ups.kind = 'automatic'::text) AND (top_ups.confirmed_at IS NOT NULL) AND ((top_ups.state <> ALL (ARRAY['failed'::text, 'canceled'::text])) OR (top_ups.balance_after IS NOT NULL)))) t
     JOIN public.consents c ON (((c.customer_id = t.customer_id) AND (c.consent_id = t.consent_id))))
  WHERE (t.spent > (c.limit_minor)::numeric);
CREATE VIEW public.broken_i9 AS
 SELECT p.customer_id,
    p.payment_id
   FROM (((public.payments p
     JOIN public.top_ups t ON (((t.customer_id = p.customer_id) AND (t.top_up_id = p.top_up_id))))
     LEFT JOIN public.consents c ON (((c.customer_id = t.customer_id) AND (c.consent_id = t.consent_id) AND (c.action = 'given'::text) AND (c.kind = 'auto_top_up'::text) AND (c.asset = t.asset))))
     LEFT JOIN public.consents w ON (((w.customer_id = c.customer_id) AND (w.withdraws = c.consent_id))))
  WHERE ((t.kind = 'automatic'::text) AND (p.presence = 'off_session'::text) AND (p.confirm_sent_at IS NOT NULL) AND ((c.consent_id IS NULL) OR (c.recorded_at > p.confirm_sent_at) OR (w.recorded_at < p.confirm_sent_at)));
CREATE TABLE public.card_attempts (
    address_hash bytea NOT NULL,
    hour timestamp with time zone NOT NULL,
    count integer NOT NULL,
    CONSTRAINT card_attempts_address_hash_check CHECK ((octet_length(address_hash) = 32))
);
CREATE TABLE public.card_setups (
    customer_id uuid NOT NULL,
    setup_id text NOT NULL,
    purpose text NOT NULL,
    state text NOT NULL,
    consent_id text NOT NULL,
    stripe_session_id text,
    session_id text NOT NULL,
    card_id text,
    return_to text,
    created_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT card_setups_check CHECK (((closed_at IS NULL) = (state = 'open'::text))),
    CONSTRAINT card_setups_check1 CHECK (((card_id IS NOT NULL) = (state = 'completed'::text))),
    CONSTRAINT card_setups_purpose_check CHECK ((purpose = ANY (ARRAY['setup'::text, 'payment'::text]))),
    CONSTRAINT card_setups_state_check CHECK ((state = ANY (ARRAY['open'::text, 'completed'::text, 'expired'::text])))
);
CREATE TABLE public.card_tries (
    payment_id text NOT NULL,
    fingerprint text NOT NULL,
    state text NOT NULL,
    at timestamp with time zone NOT NULL,
    expiry text,
    CONSTRAINT card_tries_state_check CHECK ((state = ANY (ARRAY['open'::text, 'declined'::text, 'hard'::text, 'data'::text, 'disputed'::text])))
);
CREATE TABLE public.cards (
    customer_id uuid NOT NULL,
    card_id text NOT NULL,
    stripe_payment_method_id text NOT NULL,
    fingerprint text NOT NULL,
    brand text NOT NULL,
    last4 text NOT NULL,
    exp_month smallint NOT NULL,
    exp_year smallint NOT NULL,
    state text NOT NULL,
    state_reason text,
    is_default boolean DEFAULT false NOT NULL,
    consent_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    expiry_notified date,
    country text,
    wallet text,
    CONSTRAINT cards_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT cards_exp_month_check CHECK (((exp_month >= 1) AND (exp_month <= 12))),
    CONSTRAINT cards_exp_year_check CHECK (((exp_year >= 2000) AND (exp_year <= 2200))),
    CONSTRAINT cards_last4_check CHECK ((last4 ~ '^[0-9]{4}$'::text)),
    CONSTRAINT cards_state_check CHECK ((state = ANY (ARRAY['active'::text, 'blocked'::text, 'detached'::text])))
);
CREATE TABLE public.consent_evidence (
    customer_id uuid NOT NULL,
    consent_id text NOT NULL,
    rendered text NOT NULL,
    salt bytea NOT NULL,
    address text,
    agent text,
    session_id text NOT NULL,
    CONSTRAINT consent_evidence_salt_check CHECK ((octet_length(salt) = 32))
);
CREATE TABLE public.credit_times (
    one boolean DEFAULT true NOT NULL,
    slowest_ms bigint NOT NULL,
    payments integer NOT NULL,
    measured_at timestamp with time zone NOT NULL,
    CONSTRAINT credit_times_one_check CHECK (one),
    CONSTRAINT credit_times_slowest_ms_check CHECK ((slowest_ms >= 0))
);
CREATE TABLE public.customers (
    customer_id uuid NOT NULL,
    external_id text,
    name text NOT NULL,
    email text,
    time_zone text DEFAULT 'UTC'::text NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    external_accounts jsonb DEFAULT '[]'::jsonb NOT NULL,
    stripe_customer_id text,
    created_at timestamp with time zone NOT NULL,
    locale text,
    erased_at timestamp with time zone,
    CONSTRAINT customers_customer_id_check CHECK ((customer_id <> '00000000-0000-0000-0000-000000000000'::uuid)),
    CONSTRAINT customers_email_check CHECK ((length(email) <= 320)),
    CONSTRAINT customers_external_id_check CHECK (((length(external_id) >= 1) AND (length(external_id) <= 255))),
    CONSTRAINT customers_locale_check CHECK ((locale ~ '^[a-z]{2}$'::text)),
    CONSTRAINT customers_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200)))
);
CREATE TABLE public.deliveries (
    event_id text NOT NULL,
    endpoint_id text NOT NULL,
    state text DEFAULT 'pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    next_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT deliveries_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT deliveries_check CHECK (((state = 'pending'::text) = (next_at IS NOT NULL))),
    CONSTRAINT deliveries_check1 CHECK (((state = 'pending'::text) = (ended_at IS NULL))),
    CONSTRAINT deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'succeeded'::text, 'failed'::text])))
);
CREATE TABLE public.delivery_attempts (
    event_id text NOT NULL,
    endpoint_id text NOT NULL,
    attempt integer NOT NULL,
    at timestamp with time zone NOT NULL,
    status integer,
    error text,
    took_ms integer NOT NULL
);
CREATE TABLE public.disputes (
    customer_id uuid NOT NULL,
    dispute_id text NOT NULL,
    payment_id text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    reason text,
    opened_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    read_at timestamp with time zone,
    evidence_due_at timestamp with time zone,
    loss numeric(38,12),
    CONSTRAINT disputes_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT disputes_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT disputes_loss_check CHECK ((loss >= (0)::numeric))
);
CREATE TABLE public.emails (
    customer_id uuid NOT NULL,
    event_id text NOT NULL,
    address text,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    CONSTRAINT emails_address_check CHECK ((length(address) <= 320))
);
CREATE TABLE public.expiry_notices (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    days smallint NOT NULL,
    CONSTRAINT expiry_notices_days_check CHECK ((days > 0))
);
CREATE TABLE public.idempotency (
    key text NOT NULL,
    route text NOT NULL,
    request_hash bytea NOT NULL,
    status smallint NOT NULL,
    response jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    key_id text DEFAULT ''::text NOT NULL,
    CONSTRAINT idempotency_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255)))
);
CREATE TABLE public.installation (
    one boolean DEFAULT true NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    published_at timestamp with time zone,
    CONSTRAINT installation_one_check CHECK (one)
);
CREATE TABLE public.installation_key (
    one boolean DEFAULT true NOT NULL,
    key text DEFAULT ('ins_'::text || replace((gen_random_uuid())::text, '-'::text, ''::text)) NOT NULL,
    CONSTRAINT installation_key_key_check CHECK (((length(key) >= 8) AND (length(key) <= 60))),
    CONSTRAINT installation_key_one_check CHECK (one)
);
CREATE TABLE public.leases (
    customer_id uuid NOT NULL,
    hold_id text NOT NULL,
    asset text NOT NULL,
    chunk numeric(38,12) NOT NULL,
    wind_down_s integer NOT NULL,
    expires_in_s integer NOT NULL,
    used numeric(38,12) DEFAULT 0 NOT NULL,
    recent_units numeric(38,12) DEFAULT 0 NOT NULL,
    recent_s numeric(20,6) DEFAULT 0 NOT NULL,
    interval_s numeric(20,6) DEFAULT 0 NOT NULL,
    used_at timestamp with time zone NOT NULL,
    state text NOT NULL,
    why text,
    good_until timestamp with time zone,
    CONSTRAINT leases_chunk_check CHECK ((chunk > (0)::numeric)),
    CONSTRAINT leases_expires_in_s_check CHECK ((expires_in_s > 0)),
    CONSTRAINT leases_state_check CHECK ((state = ANY (ARRAY['running'::text, 'bridged'::text, 'winding_down'::text, 'ended'::text]))),
    CONSTRAINT leases_used_check CHECK ((used >= (0)::numeric)),
    CONSTRAINT leases_wind_down_s_check CHECK ((wind_down_s >= 0))
);
CREATE TABLE public.lot_checkpoints (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL,
    mac bytea NOT NULL,
    CONSTRAINT lot_checkpoints_mac_check CHECK ((octet_length(mac) = 17)),
    CONSTRAINT lot_checkpoints_seq_check CHECK ((seq > 0))
);
CREATE TABLE public.offers (
    asset text NOT NULL,
    version integer NOT NULL,
    place smallint NOT NULL,
    currency text,
    from_minor bigint,
    percent numeric(5,2),
    expires_after_days integer,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    recorded_at timestamp with time zone NOT NULL,
    CONSTRAINT offers_check CHECK ((valid_to > valid_from)),
    CONSTRAINT offers_check1 CHECK ((num_nulls(currency, from_minor, percent) = ANY (ARRAY[0, 3]))),
    CONSTRAINT offers_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT offers_expires_after_days_check CHECK (((expires_after_days >= 1) AND (expires_after_days <= 3650))),
    CONSTRAINT offers_from_minor_check CHECK ((from_minor > 0)),
    CONSTRAINT offers_percent_check CHECK (((percent > (0)::numeric) AND (percent <= (100)::numeric))),
    CONSTRAINT offers_place_check CHECK ((place >= 0)),
    CONSTRAINT offers_version_check CHECK ((version > 0))
);
CREATE TABLE public.operator_sessions (
    session_id text NOT NULL,
    operator_id text NOT NULL,
    cookie_hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);
CREATE TABLE public.operator_tries (
    operator_id text NOT NULL,
    address text NOT NULL,
    tries integer NOT NULL,
    until timestamp with time zone NOT NULL
);
CREATE TABLE public.operators (
    operator_id text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    password_hash text NOT NULL,
    totp_secret text NOT NULL,
    totp_step bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT operators_name_check CHECK ((name ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'::text)),
    CONSTRAINT operators_role_check CHECK ((role = ANY (ARRAY['viewer'::text, 'operator'::text])))
);
CREATE TABLE public.outgoing_events (
    event_id text NOT NULL,
    customer_id uuid,
    type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.portal_links (
    link_id text NOT NULL,
    customer_id uuid NOT NULL,
    kind text NOT NULL,
    top_up_id text,
    token_hash bytea NOT NULL,
    return_url text,
    failure_url text,
    flow text DEFAULT 'overview'::text NOT NULL,
    asset text,
    locale text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT portal_links_check CHECK (((kind = 'payment'::text) = (top_up_id IS NOT NULL))),
    CONSTRAINT portal_links_flow_check CHECK ((flow = ANY (ARRAY['overview'::text, 'top_up'::text, 'auto_top_up'::text, 'cards'::text, 'pay'::text, 'turn_off'::text]))),
    CONSTRAINT portal_links_kind_check CHECK ((kind = ANY (ARRAY['portal'::text, 'payment'::text, 'turn_off'::text]))),
    CONSTRAINT portal_links_token_hash_check CHECK ((octet_length(token_hash) = 32)),
    CONSTRAINT portal_links_turn_off CHECK (((kind <> 'turn_off'::text) OR (asset IS NOT NULL)))
);
CREATE TABLE public.portal_sessions (
    session_id text NOT NULL,
    link_id text NOT NULL,
    customer_id uuid NOT NULL,
    kind text NOT NULL,
    top_up_id text,
    cookie_hash bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    locale text,
    stepped_up_at timestamp with time zone,
    stepped_up_for bytea,
    CONSTRAINT portal_sessions_cookie_hash_check CHECK ((octet_length(cookie_hash) = 32)),
    CONSTRAINT portal_sessions_kind_check CHECK ((kind = ANY (ARRAY['portal'::text, 'payment'::text, 'turn_off'::text]))),
    CONSTRAINT portal_sessions_locale_check CHECK ((locale ~ '^[a-z]{2}$'::text)),
    CONSTRAINT portal_sessions_stepped_up_for_check CHECK ((octet_length(stepped_up_for) = 32))
);
CREATE TABLE public.presets (
    customer_id uuid DEFAULT '00000000-0000-0000-0000-000000000000'::uuid NOT NULL,
    segment text DEFAULT ''::text NOT NULL,
    asset text NOT NULL,
    currency text NOT NULL,
    threshold numeric(38,12),
    amount_minor bigint,
    limit_minor bigint,
    charge_max_minor bigint,
    day_limit_minor bigint,
    threshold_min numeric(38,12),
    threshold_max numeric(38,12),
    amount_min_minor bigint,
    amount_max_minor bigint,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT presets_amount_min_minor_check CHECK ((amount_min_minor > 0)),
    CONSTRAINT presets_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT presets_check CHECK (((segment = ''::text) = (customer_id <> '00000000-0000-0000-0000-000000000000'::uuid))),
    CONSTRAINT presets_check1 CHECK ((limit_minor >= amount_minor)),
    CONSTRAINT presets_check2 CHECK ((charge_max_minor >= amount_minor)),
    CONSTRAINT presets_check3 CHECK ((threshold_max >= threshold_min)),
    CONSTRAINT presets_check4 CHECK ((amount_max_minor >= amount_min_minor)),
    CONSTRAINT presets_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT presets_day_limit_minor_check CHECK ((day_limit_minor > 0)),
    CONSTRAINT presets_threshold_check CHECK ((threshold > (0)::numeric)),
    CONSTRAINT presets_threshold_min_check CHECK ((threshold_min > (0)::numeric))
);
CREATE UNLOGGED TABLE public.rate_limit_uses (
    span bigint NOT NULL,
    name bytea NOT NULL,
    used bigint NOT NULL,
    CONSTRAINT rate_limit_uses_name_check CHECK ((octet_length(name) = 16))
)
WITH (fillfactor='50');
CREATE TABLE public.rates (
    asset text NOT NULL,
    currency text NOT NULL,
    valid_from timestamp with time zone NOT NULL,
    valid_to timestamp with time zone,
    rate numeric(38,12) NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    rate_per numeric(38,12) DEFAULT 1 NOT NULL,
    CONSTRAINT rates_check CHECK ((valid_to > valid_from)),
    CONSTRAINT rates_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT rates_rate_check CHECK ((rate > (0)::numeric)),
    CONSTRAINT rates_rate_per_check CHECK ((rate_per > (0)::numeric))
);
CREATE TABLE public.restore_guard (
    one boolean DEFAULT true NOT NULL,
    epoch integer DEFAULT 1 NOT NULL,
    system_identifier bigint,
    timeline integer,
    heartbeat bigint DEFAULT 0 NOT NULL,
    heartbeat_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    restored_to timestamp with time zone,
    reconciled_at timestamp with time zone,
    CONSTRAINT restore_guard_one_check CHECK (one)
);
CREATE TABLE public.scheduled_credits (
    customer_id uuid NOT NULL,
    key text NOT NULL,
    asset text NOT NULL,
    amount numeric(38,12) NOT NULL,
    purpose text NOT NULL,
    priority smallint NOT NULL,
    effective_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    description text,
    metadata jsonb,
    created_at timestamp with time zone NOT NULL,
    mac bytea NOT NULL,
    CONSTRAINT scheduled_credits_amount_check CHECK ((amount > (0)::numeric)),
    CONSTRAINT scheduled_credits_check CHECK ((expires_at > effective_at)),
    CONSTRAINT scheduled_credits_description_check CHECK ((length(description) <= 500)),
    CONSTRAINT scheduled_credits_key_check CHECK (((length(key) >= 1) AND (length(key) <= 255))),
    CONSTRAINT scheduled_credits_mac_check CHECK ((octet_length(mac) = 17)),
    CONSTRAINT scheduled_credits_priority_check CHECK (((priority >= 0) AND (priority <= 100))),
    CONSTRAINT scheduled_credits_purpose_check CHECK ((purpose = ANY (ARRAY['paid'::text, 'promotional'::text, 'bonus'::text, 'correction'::text])))
);
CREATE TABLE public.spend_days (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    day date NOT NULL,
    tag text NOT NULL,
    used numeric(38,12) NOT NULL
);
CREATE TABLE public.step_up_codes (
    session_id text NOT NULL,
    sent_at timestamp with time zone NOT NULL,
    customer_id uuid NOT NULL,
    code_hash bytea NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    tries integer NOT NULL,
    CONSTRAINT step_up_codes_code_hash_check CHECK ((octet_length(code_hash) = 32))
);
CREATE TABLE public.stripe_events (
    event_id text NOT NULL,
    type text NOT NULL,
    object_id text,
    livemode boolean NOT NULL,
    created_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    state text NOT NULL,
    outcome text,
    processed_at timestamp with time zone,
    failures integer DEFAULT 0 NOT NULL,
    intent_id text,
    installation text,
    CONSTRAINT stripe_events_state_check CHECK ((state = ANY (ARRAY['received'::text, 'done'::text, 'ignored'::text, 'quarantined'::text])))
);
CREATE TABLE public.suspensions (
    kind text NOT NULL,
    reason text NOT NULL,
    since timestamp with time zone NOT NULL,
    probed_at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    CONSTRAINT suspensions_kind_check CHECK ((kind = ANY (ARRAY['key'::text, 'operator'::text, 'restore'::text]))),
    CONSTRAINT suspensions_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 500)))
);
CREATE TABLE public.threshold_changes (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    threshold numeric(38,12) NOT NULL,
    cause text NOT NULL,
    burn numeric(38,12) NOT NULL,
    time_s integer NOT NULL,
    CONSTRAINT threshold_changes_cause_check CHECK ((cause = ANY (ARRAY['saved'::text, 'hour'::text, 'credit'::text])))
);
CREATE UNLOGGED TABLE public.token_buckets (
    name text NOT NULL,
    due_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');
CREATE VIEW public.trial_balance AS
 SELECT sides.asset,
    sides.currency,
    sides.contra AS account,
    (- sum(sides.amount)) AS units,
    (- sum(sides.money_minor)) AS money_minor
   FROM ( SELECT entries.asset,
            entries.currency,
            entries.amount,
            entries.money_minor,
                CASE entries.kind
                    WHEN 'usage'::text THEN 'revenue'::text
                    WHEN 'charge'::text THEN 'revenue'::text
                    WHEN 'adjustment'::text THEN 'adjustments'::text
                    WHEN 'bonus'::text THEN 'bonuses'::text
                    WHEN 'expiry'::text THEN 'breakage'::text
                    ELSE 'stripe_clearing'::text
                END AS contra
           FROM public.entries
        UNION ALL
         SELECT archive_marks.asset,
            NULL::text,
            archive_marks.dropped,
            NULL::bigint,
            'revenue'::text
           FROM public.archive_marks) sides
  GROUP BY sides.asset, sides.currency, sides.contra
UNION ALL
 SELECT accounts.asset,
    NULL::text AS currency,
    'wallets'::text AS account,
    sum(accounts.balance) AS units,
    NULL::numeric AS money_minor
   FROM public.accounts
  GROUP BY accounts.asset;
CREATE TABLE public.verifications (
    invariant text NOT NULL,
    ok boolean NOT NULL,
    detail text NOT NULL,
    at timestamp with time zone NOT NULL,
    figures jsonb DEFAULT '{}'::jsonb NOT NULL
);
CREATE TABLE public.verified_marks (
    customer_id uuid NOT NULL,
    asset text NOT NULL,
    seq bigint NOT NULL,
    balance numeric(38,12) NOT NULL,
    mac bytea NOT NULL,
    signature bytea NOT NULL
);
CREATE TABLE public.webhook_endpoints (
    endpoint_id text NOT NULL,
    url text NOT NULL,
    topics text[] NOT NULL,
    enabled boolean NOT NULL,
    disabled_reason text,
    failing_since timestamp with time zone,
    secret text NOT NULL,
    old_secret text,
    old_secret_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT webhook_endpoints_check CHECK (((old_secret IS NULL) = (old_secret_until IS NULL))),
    CONSTRAINT webhook_endpoints_check1 CHECK (((disabled_reason IS NULL) OR (NOT enabled))),
    CONSTRAINT webhook_endpoints_topics_check CHECK ((cardinality(topics) > 0)),
    CONSTRAINT webhook_endpoints_url_check CHECK ((length(url) <= 2000))
);
CREATE TABLE public.webhook_rejections (
    day date NOT NULL,
    count bigint NOT NULL,
    last_at timestamp with time zone NOT NULL
);
CREATE UNLOGGED TABLE public.workers (
    worker_id text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    settings jsonb NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL
);
ALTER TABLE ONLY public.accepted_differences
    ADD CONSTRAINT accepted_differences_pkey PRIMARY KEY (payment_id);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (customer_id, asset);
ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_pkey PRIMARY KEY (customer_id, asset);
ALTER TABLE ONLY public.aliases
    ADD CONSTRAINT aliases_pkey PRIMARY KEY (kind, value);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);
ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY public.archive_marks
    ADD CONSTRAINT archive_marks_pkey PRIMARY KEY (customer_id, asset);
ALTER TABLE ONLY public.archived_keys
    ADD CONSTRAINT archived_keys_pkey PRIMARY KEY (customer_id, key_digest);
ALTER TABLE ONLY public.assets
    ADD CONSTRAINT assets_pkey PRIMARY KEY (code);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (audit_id);
ALTER TABLE ONLY public.breakers
    ADD CONSTRAINT breakers_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.budget_counters
    ADD CONSTRAINT budget_counters_pkey PRIMARY KEY (customer_id, asset, bundle);
ALTER TABLE ONLY public.budget_windows
    ADD CONSTRAINT budget_windows_pkey PRIMARY KEY (customer_id, budget_id, ends_at);
ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_pkey PRIMARY KEY (customer_id, budget_id);
ALTER TABLE ONLY public.card_attempts
    ADD CONSTRAINT card_attempts_pkey PRIMARY KEY (address_hash, hour);
ALTER TABLE ONLY public.card_setups
    ADD CONSTRAINT card_setups_pkey PRIMARY KEY (customer_id, setup_id);
ALTER TABLE ONLY public.card_tries
    ADD CONSTRAINT card_tries_pkey PRIMARY KEY (payment_id);
ALTER TABLE ONLY public.cards
    ADD CONSTRAINT cards_customer_id_stripe_payment_method_id_key UNIQUE (customer_id, stripe_payment_method_id);
ALTER TABLE ONLY public.cards
    ADD CONSTRAINT cards_pkey PRIMARY KEY (customer_id, card_id);
ALTER TABLE ONLY public.consent_evidence
    ADD CONSTRAINT consent_evidence_pkey PRIMARY KEY (customer_id, consent_id);
ALTER TABLE ONLY public.consents
    ADD CONSTRAINT consents_pkey PRIMARY KEY (customer_id, consent_id);
ALTER TABLE ONLY public.credit_times
    ADD CONSTRAINT credit_times_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (customer_id);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (event_id, endpoint_id);
ALTER TABLE ONLY public.delivery_attempts
    ADD CONSTRAINT delivery_attempts_pkey PRIMARY KEY (event_id, endpoint_id, at);
ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_pkey PRIMARY KEY (customer_id, dispute_id);
ALTER TABLE ONLY public.emails
    ADD CONSTRAINT emails_pkey PRIMARY KEY (customer_id, event_id);
ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_customer_id_key_digest_key UNIQUE (customer_id, key_digest);
ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (customer_id, asset, seq);
ALTER TABLE ONLY public.entry_notes
    ADD CONSTRAINT entry_notes_pkey PRIMARY KEY (customer_id, asset, seq);
ALTER TABLE ONLY public.expiry_notices
    ADD CONSTRAINT expiry_notices_pkey PRIMARY KEY (customer_id, asset, seq, days);
ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_pkey PRIMARY KEY (customer_id, hold_id);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (key_id, route, key);
ALTER TABLE ONLY public.installation_key
    ADD CONSTRAINT installation_key_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (customer_id, hold_id);
ALTER TABLE ONLY public.lot_checkpoints
    ADD CONSTRAINT lot_checkpoints_pkey PRIMARY KEY (customer_id, asset, seq);
ALTER TABLE ONLY public.offers
    ADD CONSTRAINT offers_pkey PRIMARY KEY (asset, version, place);
ALTER TABLE ONLY public.operator_sessions
    ADD CONSTRAINT operator_sessions_cookie_hash_key UNIQUE (cookie_hash);
ALTER TABLE ONLY public.operator_sessions
    ADD CONSTRAINT operator_sessions_pkey PRIMARY KEY (session_id);
ALTER TABLE ONLY public.operator_tries
    ADD CONSTRAINT operator_tries_pkey PRIMARY KEY (operator_id, address);
ALTER TABLE ONLY public.operators
    ADD CONSTRAINT operators_name_key UNIQUE (name);
ALTER TABLE ONLY public.operators
    ADD CONSTRAINT operators_pkey PRIMARY KEY (operator_id);
ALTER TABLE ONLY public.outgoing_events
    ADD CONSTRAINT outgoing_events_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (customer_id, payment_id);
ALTER TABLE ONLY public.portal_links
    ADD CONSTRAINT portal_links_pkey PRIMARY KEY (link_id);
ALTER TABLE ONLY public.portal_links
    ADD CONSTRAINT portal_links_token_hash_key UNIQUE (token_hash);
ALTER TABLE ONLY public.portal_sessions
    ADD CONSTRAINT portal_sessions_cookie_hash_key UNIQUE (cookie_hash);
ALTER TABLE ONLY public.portal_sessions
    ADD CONSTRAINT portal_sessions_pkey PRIMARY KEY (session_id);
ALTER TABLE ONLY public.presets
    ADD CONSTRAINT presets_pkey PRIMARY KEY (customer_id, segment, asset);
ALTER TABLE ONLY public.rate_limit_uses
    ADD CONSTRAINT rate_limit_uses_pkey PRIMARY KEY (span, name);
ALTER TABLE ONLY public.rates
    ADD CONSTRAINT rates_pkey PRIMARY KEY (asset, currency, valid_from);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT refunds_customer_id_stripe_refund_id_key UNIQUE (customer_id, stripe_refund_id);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT refunds_pkey PRIMARY KEY (customer_id, refund_id);
ALTER TABLE ONLY public.restore_guard
    ADD CONSTRAINT restore_guard_pkey PRIMARY KEY (one);
ALTER TABLE ONLY public.rule_states
    ADD CONSTRAINT rule_states_pkey PRIMARY KEY (customer_id, asset);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_pkey PRIMARY KEY (customer_id, asset);
ALTER TABLE ONLY public.scheduled_credits
    ADD CONSTRAINT scheduled_credits_pkey PRIMARY KEY (customer_id, key);
ALTER TABLE ONLY public.spend_days
    ADD CONSTRAINT spend_days_pkey PRIMARY KEY (customer_id, asset, day, tag);
ALTER TABLE ONLY public.step_up_codes
    ADD CONSTRAINT step_up_codes_pkey PRIMARY KEY (session_id, sent_at);
ALTER TABLE ONLY public.stripe_events
    ADD CONSTRAINT stripe_events_pkey PRIMARY KEY (event_id);
ALTER TABLE ONLY public.suspensions
    ADD CONSTRAINT suspensions_pkey PRIMARY KEY (kind);
ALTER TABLE ONLY public.threshold_changes
    ADD CONSTRAINT threshold_changes_pkey PRIMARY KEY (customer_id, asset, changed_at);
ALTER TABLE ONLY public.token_buckets
    ADD CONSTRAINT token_buckets_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.top_ups
    ADD CONSTRAINT top_ups_pkey PRIMARY KEY (customer_id, top_up_id);
ALTER TABLE ONLY public.usage_hours
    ADD CONSTRAINT usage_hours_pkey PRIMARY KEY (customer_id, asset, hour);
ALTER TABLE ONLY public.verifications
    ADD CONSTRAINT verifications_pkey PRIMARY KEY (invariant);
ALTER TABLE ONLY public.verified_marks
    ADD CONSTRAINT verified_marks_pkey PRIMARY KEY (customer_id, asset);
ALTER TABLE ONLY public.webhook_endpoints
    ADD CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (endpoint_id);
ALTER TABLE ONLY public.webhook_rejections
    ADD CONSTRAINT webhook_rejections_pkey PRIMARY KEY (day);
ALTER TABLE ONLY public.workers
    ADD CONSTRAINT workers_pkey PRIMARY KEY (worker_id);
CREATE INDEX accounts_lots_due ON public.accounts USING btree (lots_due_at) WHERE (lots_due_at IS NOT NULL);
CREATE INDEX accounts_triggered ON public.accounts USING btree (customer_id, asset) WHERE (trigger_below IS NOT NULL);
CREATE INDEX audit_by_customer ON public.audit USING btree (customer_id, audit_id);
CREATE INDEX budgets_by_tag ON public.budgets USING btree (customer_id, asset, tag) WHERE (ended_at IS NULL);
CREATE INDEX card_setups_completed ON public.card_setups USING btree (created_at) WHERE (state = 'completed'::text);
CREATE INDEX card_setups_recent ON public.card_setups USING btree (customer_id, created_at);
CREATE INDEX card_tries_recent ON public.card_tries USING btree (fingerprint, at);
CREATE INDEX cards_by_fingerprint ON public.cards USING btree (fingerprint) WHERE (state = 'active'::text);
CREATE INDEX cards_expiring ON public.cards USING btree (exp_year, exp_month) WHERE (state = 'active'::text);
CREATE UNIQUE INDEX consents_withdrawn_once ON public.consents USING btree (customer_id, withdraws) WHERE (withdraws IS NOT NULL);
CREATE INDEX deliveries_by_endpoint ON public.deliveries USING btree (endpoint_id, event_id);
CREATE INDEX deliveries_due ON public.deliveries USING btree (next_at) WHERE (state = 'pending'::text);
CREATE INDEX disputes_by_payment ON public.disputes USING btree (customer_id, payment_id);
CREATE INDEX disputes_open ON public.disputes USING btree (read_at NULLS FIRST) WHERE (closed_at IS NULL);
CREATE INDEX entries_additions ON public.entries USING btree (customer_id, asset, seq) WHERE (kind <> ALL (ARRAY['usage'::text, 'charge'::text]));
CREATE INDEX entries_paid ON public.entries USING btree (customer_id, payment_id) WHERE (payment_id IS NOT NULL);
CREATE INDEX holds_expiring ON public.holds USING btree (expires_at) WHERE (state = 'open'::text);
CREATE INDEX holds_newest ON public.holds USING btree (customer_id, created_at, hold_id);
CREATE INDEX holds_open ON public.holds USING btree (customer_id, asset) WHERE (state = 'open'::text);
CREATE INDEX idempotency_by_age ON public.idempotency USING btree (created_at);
CREATE INDEX leases_open ON public.leases USING btree (customer_id, asset) WHERE (state <> 'ended'::text);
CREATE INDEX operator_sessions_over ON public.operator_sessions USING btree (expires_at);
CREATE INDEX outgoing_events_by_customer ON public.outgoing_events USING btree (customer_id, event_id);
CREATE INDEX payments_by_top_up ON public.payments USING btree (customer_id, top_up_id, created_at);
CREATE UNIQUE INDEX payments_one_open ON public.payments USING btree (customer_id, top_up_id) WHERE (closed_at IS NULL);
CREATE INDEX portal_links_over ON public.portal_links USING btree (expires_at);
CREATE INDEX portal_sessions_of_link ON public.portal_sessions USING btree (link_id);
CREATE INDEX portal_sessions_over ON public.portal_sessions USING btree (expires_at);
CREATE INDEX refunds_by_payment ON public.refunds USING btree (customer_id, payment_id);
CREATE INDEX refunds_wake ON public.refunds USING btree (wake_at) WHERE (wake_at IS NOT NULL);
CREATE INDEX refunds_young ON public.refunds USING btree (created_at) WHERE (state = ANY (ARRAY['pending'::text, 'succeeded'::text]));
CREATE INDEX rule_states_wake ON public.rule_states USING btree (wake_at) WHERE (wake_at IS NOT NULL);
CREATE INDEX scheduled_credits_account ON public.scheduled_credits USING btree (customer_id, asset, effective_at);
CREATE INDEX step_up_codes_recent ON public.step_up_codes USING btree (customer_id, sent_at);
CREATE INDEX stripe_events_newest ON public.stripe_events USING btree (received_at);
CREATE INDEX stripe_events_setup_failed ON public.stripe_events USING btree (received_at) WHERE (type = 'setup_intent.setup_failed'::text);
CREATE INDEX stripe_events_waiting ON public.stripe_events USING btree (received_at) WHERE (state = 'received'::text);
CREATE INDEX top_ups_by_account ON public.top_ups USING btree (customer_id, asset, requested_at DESC);
CREATE INDEX top_ups_ended ON public.top_ups USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX top_ups_newest ON public.top_ups USING btree (top_up_id DESC);
CREATE UNIQUE INDEX top_ups_one_live_automatic ON public.top_ups USING btree (customer_id, asset) WHERE ((kind = 'automatic'::text) AND (ended_at IS NULL));
CREATE INDEX top_ups_to_review ON public.top_ups USING btree (customer_id, top_up_id) WHERE needs_review;
CREATE INDEX top_ups_wake ON public.top_ups USING btree (wake_at) WHERE (wake_at IS NOT NULL);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_asset_fkey FOREIGN KEY (asset) REFERENCES public.assets(code);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
ALTER TABLE ONLY public.alerts
    ADD CONSTRAINT alerts_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.budget_counters
    ADD CONSTRAINT budget_counters_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.budget_windows
    ADD CONSTRAINT budget_windows_customer_id_budget_id_fkey FOREIGN KEY (customer_id, budget_id) REFERENCES public.budgets(customer_id, budget_id);
ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.card_setups
    ADD CONSTRAINT card_setups_customer_id_card_id_fkey FOREIGN KEY (customer_id, card_id) REFERENCES public.cards(customer_id, card_id);
ALTER TABLE ONLY public.card_setups
    ADD CONSTRAINT card_setups_customer_id_consent_id_fkey FOREIGN KEY (customer_id, consent_id) REFERENCES public.consents(customer_id, consent_id);
ALTER TABLE ONLY public.card_setups
    ADD CONSTRAINT card_setups_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
ALTER TABLE ONLY public.cards
    ADD CONSTRAINT cards_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
ALTER TABLE ONLY public.consent_evidence
    ADD CONSTRAINT consent_evidence_customer_id_consent_id_fkey FOREIGN KEY (customer_id, consent_id) REFERENCES public.consents(customer_id, consent_id);
ALTER TABLE ONLY public.consents
    ADD CONSTRAINT consents_asset_fkey FOREIGN KEY (asset) REFERENCES public.assets(code);
ALTER TABLE ONLY public.consents
    ADD CONSTRAINT consents_customer_id_card_id_fkey FOREIGN KEY (customer_id, card_id) REFERENCES public.cards(customer_id, card_id);
ALTER TABLE ONLY public.consents
    ADD CONSTRAINT consents_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
ALTER TABLE ONLY public.consents
    ADD CONSTRAINT consents_customer_id_withdraws_fkey FOREIGN KEY (customer_id, withdraws) REFERENCES public.consents(customer_id, consent_id);
ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_event_id_fkey FOREIGN KEY (event_id) REFERENCES public.outgoing_events(event_id);
ALTER TABLE ONLY public.delivery_attempts
    ADD CONSTRAINT delivery_attempts_event_id_endpoint_id_fkey FOREIGN KEY (event_id, endpoint_id) REFERENCES public.deliveries(event_id, endpoint_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.disputes
    ADD CONSTRAINT disputes_customer_id_payment_id_fkey FOREIGN KEY (customer_id, payment_id) REFERENCES public.payments(customer_id, payment_id);
ALTER TABLE ONLY public.emails
    ADD CONSTRAINT emails_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
ALTER TABLE ONLY public.entry_notes
    ADD CONSTRAINT entry_notes_customer_id_asset_seq_fkey FOREIGN KEY (customer_id, asset, seq) REFERENCES public.entries(customer_id, asset, seq);
ALTER TABLE ONLY public.expiry_notices
    ADD CONSTRAINT expiry_notices_customer_id_asset_seq_fkey FOREIGN KEY (customer_id, asset, seq) REFERENCES public.entries(customer_id, asset, seq);
ALTER TABLE ONLY public.holds
    ADD CONSTRAINT holds_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_customer_id_hold_id_fkey FOREIGN KEY (customer_id, hold_id) REFERENCES public.holds(customer_id, hold_id);
ALTER TABLE ONLY public.lot_checkpoints
    ADD CONSTRAINT lot_checkpoints_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.offers
    ADD CONSTRAINT offers_asset_fkey FOREIGN KEY (asset) REFERENCES public.assets(code);
ALTER TABLE ONLY public.operator_sessions
    ADD CONSTRAINT operator_sessions_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES public.operators(operator_id);
ALTER TABLE ONLY public.operator_tries
    ADD CONSTRAINT operator_tries_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES public.operators(operator_id);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_customer_id_card_id_fkey FOREIGN KEY (customer_id, card_id) REFERENCES public.cards(customer_id, card_id);
ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_customer_id_top_up_id_fkey FOREIGN KEY (customer_id, top_up_id) REFERENCES public.top_ups(customer_id, top_up_id);
ALTER TABLE ONLY public.portal_sessions
    ADD CONSTRAINT portal_sessions_link_id_fkey FOREIGN KEY (link_id) REFERENCES public.portal_links(link_id);
ALTER TABLE ONLY public.rates
    ADD CONSTRAINT rates_asset_fkey FOREIGN KEY (asset) REFERENCES public.assets(code);
ALTER TABLE ONLY public.refunds
    ADD CONSTRAINT refunds_customer_id_payment_id_fkey FOREIGN KEY (customer_id, payment_id) REFERENCES public.payments(customer_id, payment_id);
ALTER TABLE ONLY public.rule_states
    ADD CONSTRAINT rule_states_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.rules(customer_id, asset);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_customer_id_backup_card_id_fkey FOREIGN KEY (customer_id, backup_card_id) REFERENCES public.cards(customer_id, card_id);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_customer_id_card_id_fkey FOREIGN KEY (customer_id, card_id) REFERENCES public.cards(customer_id, card_id);
ALTER TABLE ONLY public.rules
    ADD CONSTRAINT rules_customer_id_consent_id_fkey FOREIGN KEY (customer_id, consent_id) REFERENCES public.consents(customer_id, consent_id);
ALTER TABLE ONLY public.scheduled_credits
    ADD CONSTRAINT scheduled_credits_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.spend_days
    ADD CONSTRAINT spend_days_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.step_up_codes
    ADD CONSTRAINT step_up_codes_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.portal_sessions(session_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.threshold_changes
    ADD CONSTRAINT threshold_changes_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.top_ups
    ADD CONSTRAINT top_ups_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
ALTER TABLE ONLY public.top_ups
    ADD CONSTRAINT top_ups_customer_id_card_id_fkey FOREIGN KEY (customer_id, card_id) REFERENCES public.cards(customer_id, card_id);
ALTER TABLE ONLY public.top_ups
    ADD CONSTRAINT top_ups_customer_id_consent_id_fkey FOREIGN KEY (customer_id, consent_id) REFERENCES public.consents(customer_id, consent_id);
ALTER TABLE ONLY public.usage_hours
    ADD CONSTRAINT usage_hours_customer_id_asset_fkey FOREIGN KEY (customer_id, asset) REFERENCES public.accounts(customer_id, asset);
GRANT SELECT ON TABLE public.accepted_differences TO brimful_api;
GRANT SELECT ON TABLE public.accepted_differences TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.accepted_differences TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.accounts TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.accounts TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(balance) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(balance) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(balance) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(seq) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(seq) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(seq) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(mac) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(mac) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(mac) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(trigger_below) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(trigger_below) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(trigger_below) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(held) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(held) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(held) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(alert_below) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(alert_below) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(alert_below) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(lots_due_at) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(lots_due_at) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(lots_due_at) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(budgeted) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(budgeted) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(budgeted) ON TABLE public.accounts TO brimful_engine;
GRANT UPDATE(budgets_version) ON TABLE public.accounts TO brimful_api;
GRANT UPDATE(budgets_version) ON TABLE public.accounts TO brimful_portal;
GRANT UPDATE(budgets_version) ON TABLE public.accounts TO brimful_engine;
GRANT SELECT,INSERT,DELETE ON TABLE public.alerts TO brimful_api;
GRANT SELECT,INSERT,DELETE ON TABLE public.alerts TO brimful_portal;
GRANT SELECT ON TABLE public.alerts TO brimful_engine;
GRANT UPDATE(threshold) ON TABLE public.alerts TO brimful_api;
GRANT UPDATE(threshold) ON TABLE public.alerts TO brimful_portal;
GRANT UPDATE(level) ON TABLE public.alerts TO brimful_api;
GRANT UPDATE(level) ON TABLE public.alerts TO brimful_portal;
GRANT UPDATE(level) ON TABLE public.alerts TO brimful_engine;
GRANT UPDATE(updated_at) ON TABLE public.alerts TO brimful_api;
GRANT UPDATE(updated_at) ON TABLE public.alerts TO brimful_portal;
GRANT SELECT,INSERT,DELETE ON TABLE public.aliases TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.aliases TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.aliases TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.budget_counters TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.budget_counters TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.budget_counters TO brimful_engine;
GRANT UPDATE(windows) ON TABLE public.budget_counters TO brimful_api;
GRANT UPDATE(windows) ON TABLE public.budget_counters TO brimful_portal;
GRANT UPDATE(windows) ON TABLE public.budget_counters TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.budget_windows TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.budget_windows TO brimful_portal;
GRANT SELECT,INSERT,DELETE ON TABLE public.budget_windows TO brimful_engine;
GRANT UPDATE(used) ON TABLE public.budget_windows TO brimful_api;
GRANT UPDATE(used) ON TABLE public.budget_windows TO brimful_portal;
GRANT UPDATE(used) ON TABLE public.budget_windows TO brimful_engine;
GRANT UPDATE(held) ON TABLE public.budget_windows TO brimful_api;
GRANT UPDATE(held) ON TABLE public.budget_windows TO brimful_portal;
GRANT UPDATE(held) ON TABLE public.budget_windows TO brimful_engine;
GRANT UPDATE(beyond) ON TABLE public.budget_windows TO brimful_api;
GRANT UPDATE(beyond) ON TABLE public.budget_windows TO brimful_portal;
GRANT UPDATE(beyond) ON TABLE public.budget_windows TO brimful_engine;
GRANT UPDATE(most) ON TABLE public.budget_windows TO brimful_api;
GRANT UPDATE(most) ON TABLE public.budget_windows TO brimful_portal;
GRANT UPDATE(most) ON TABLE public.budget_windows TO brimful_engine;
GRANT UPDATE(announced) ON TABLE public.budget_windows TO brimful_api;
GRANT UPDATE(announced) ON TABLE public.budget_windows TO brimful_portal;
GRANT UPDATE(announced) ON TABLE public.budget_windows TO brimful_engine;
GRANT SELECT ON TABLE public.all_budget_windows TO brimful_api;
GRANT SELECT ON TABLE public.all_budget_windows TO brimful_portal;
GRANT SELECT ON TABLE public.all_budget_windows TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.api_keys TO brimful_api;
GRANT SELECT ON TABLE public.archive_marks TO brimful_api;
GRANT SELECT ON TABLE public.archive_marks TO brimful_portal;
GRANT SELECT ON TABLE public.archive_marks TO brimful_engine;
GRANT SELECT ON TABLE public.archived_keys TO brimful_api;
GRANT SELECT ON TABLE public.archived_keys TO brimful_portal;
GRANT SELECT ON TABLE public.archived_keys TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.assets TO brimful_api;
GRANT SELECT ON TABLE public.assets TO brimful_portal;
GRANT SELECT ON TABLE public.assets TO brimful_engine;
GRANT UPDATE(bridge_max) ON TABLE public.assets TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.audit TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.audit TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.audit TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.breakers TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.breakers TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.breakers TO brimful_engine;
GRANT SELECT ON TABLE public.consents TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.consents TO brimful_portal;
GRANT SELECT ON TABLE public.consents TO brimful_engine;
GRANT SELECT ON TABLE public.payments TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.payments TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.payments TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.top_ups TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.top_ups TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.top_ups TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i10 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i10 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i10 TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.rule_states TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.rule_states TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.rule_states TO brimful_engine;
GRANT SELECT ON TABLE public.rules TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.rules TO brimful_portal;
GRANT SELECT ON TABLE public.rules TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i12 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i12 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i12 TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i14 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i14 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i14 TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.entries TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.entries TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.entries TO brimful_engine;
GRANT SELECT ON TABLE public.usage_hours TO brimful_api;
GRANT SELECT ON TABLE public.usage_hours TO brimful_portal;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.usage_hours TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i15 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i15 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i15 TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.budgets TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.budgets TO brimful_portal;
GRANT SELECT ON TABLE public.budgets TO brimful_engine;
GRANT UPDATE(name) ON TABLE public.budgets TO brimful_api;
GRANT UPDATE(name) ON TABLE public.budgets TO brimful_portal;
GRANT UPDATE(amount) ON TABLE public.budgets TO brimful_api;
GRANT UPDATE(amount) ON TABLE public.budgets TO brimful_portal;
GRANT UPDATE(hard) ON TABLE public.budgets TO brimful_api;
GRANT UPDATE(hard) ON TABLE public.budgets TO brimful_portal;
GRANT UPDATE(ended_at) ON TABLE public.budgets TO brimful_api;
GRANT UPDATE(ended_at) ON TABLE public.budgets TO brimful_portal;
GRANT UPDATE(until_seq) ON TABLE public.budgets TO brimful_api;
GRANT UPDATE(until_seq) ON TABLE public.budgets TO brimful_portal;
GRANT UPDATE(used_before) ON TABLE public.budgets TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.holds TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.holds TO brimful_portal;
GRANT SELECT ON TABLE public.holds TO brimful_engine;
GRANT UPDATE(amount) ON TABLE public.holds TO brimful_api;
GRANT UPDATE(amount) ON TABLE public.holds TO brimful_portal;
GRANT UPDATE(amount) ON TABLE public.holds TO brimful_engine;
GRANT UPDATE(state) ON TABLE public.holds TO brimful_api;
GRANT UPDATE(state) ON TABLE public.holds TO brimful_engine;
GRANT UPDATE(captured) ON TABLE public.holds TO brimful_api;
GRANT UPDATE(captured) ON TABLE public.holds TO brimful_engine;
GRANT UPDATE(expires_at) ON TABLE public.holds TO brimful_api;
GRANT UPDATE(expires_at) ON TABLE public.holds TO brimful_portal;
GRANT UPDATE(expires_at) ON TABLE public.holds TO brimful_engine;
GRANT UPDATE(ended_at) ON TABLE public.holds TO brimful_api;
GRANT UPDATE(ended_at) ON TABLE public.holds TO brimful_engine;
GRANT UPDATE(counted) ON TABLE public.holds TO brimful_api;
GRANT UPDATE(counted) ON TABLE public.holds TO brimful_portal;
GRANT UPDATE(counted) ON TABLE public.holds TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i17 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i17 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i17 TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.entry_notes TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.entry_notes TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.entry_notes TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i17_used TO brimful_api;
GRANT SELECT ON TABLE public.broken_i17_used TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i17_used TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i1_holds TO brimful_api;
GRANT SELECT ON TABLE public.broken_i1_holds TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i1_holds TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.refunds TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.refunds TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.refunds TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i2 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i2 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i2 TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i2_units TO brimful_api;
GRANT SELECT ON TABLE public.broken_i2_units TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i2_units TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i3 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i3 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i3 TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i4 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i4 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i4 TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i5 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i5 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i5 TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i8 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i8 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i8 TO brimful_engine;
GRANT SELECT ON TABLE public.broken_i9 TO brimful_api;
GRANT SELECT ON TABLE public.broken_i9 TO brimful_portal;
GRANT SELECT ON TABLE public.broken_i9 TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.card_attempts TO brimful_portal;
GRANT SELECT,DELETE ON TABLE public.card_attempts TO brimful_engine;
GRANT SELECT ON TABLE public.card_setups TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.card_setups TO brimful_portal;
GRANT SELECT ON TABLE public.card_setups TO brimful_engine;
GRANT UPDATE(state) ON TABLE public.card_setups TO brimful_engine;
GRANT UPDATE(card_id) ON TABLE public.card_setups TO brimful_engine;
GRANT UPDATE(closed_at) ON TABLE public.card_setups TO brimful_engine;
GRANT SELECT ON TABLE public.card_tries TO brimful_api;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.card_tries TO brimful_portal;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.card_tries TO brimful_engine;
GRANT SELECT ON TABLE public.cards TO brimful_api;
GRANT SELECT ON TABLE public.cards TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.cards TO brimful_engine;
GRANT UPDATE(state) ON TABLE public.cards TO brimful_portal;
GRANT UPDATE(state_reason) ON TABLE public.cards TO brimful_portal;
GRANT UPDATE(is_default) ON TABLE public.cards TO brimful_portal;
GRANT UPDATE(updated_at) ON TABLE public.cards TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.consent_evidence TO brimful_portal;
GRANT SELECT ON TABLE public.credit_times TO brimful_api;
GRANT SELECT ON TABLE public.credit_times TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.credit_times TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.customers TO brimful_api;
GRANT SELECT ON TABLE public.customers TO brimful_portal;
GRANT SELECT ON TABLE public.customers TO brimful_engine;
GRANT UPDATE(stripe_customer_id) ON TABLE public.customers TO brimful_portal;
GRANT UPDATE(stripe_customer_id) ON TABLE public.customers TO brimful_engine;
GRANT UPDATE(locale) ON TABLE public.customers TO brimful_portal;
GRANT SELECT,INSERT,DELETE ON TABLE public.deliveries TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.deliveries TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.deliveries TO brimful_engine;
GRANT UPDATE(state) ON TABLE public.deliveries TO brimful_api;
GRANT UPDATE(state) ON TABLE public.deliveries TO brimful_engine;
GRANT UPDATE(attempts) ON TABLE public.deliveries TO brimful_api;
GRANT UPDATE(attempts) ON TABLE public.deliveries TO brimful_engine;
GRANT UPDATE(next_at) ON TABLE public.deliveries TO brimful_api;
GRANT UPDATE(next_at) ON TABLE public.deliveries TO brimful_engine;
GRANT UPDATE(ended_at) ON TABLE public.deliveries TO brimful_api;
GRANT UPDATE(ended_at) ON TABLE public.deliveries TO brimful_engine;
GRANT SELECT ON TABLE public.delivery_attempts TO brimful_api;
GRANT SELECT ON TABLE public.delivery_attempts TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.delivery_attempts TO brimful_engine;
GRANT SELECT ON TABLE public.disputes TO brimful_api;
GRANT SELECT ON TABLE public.disputes TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.disputes TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.emails TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.emails TO brimful_engine;
GRANT SELECT ON TABLE public.expiry_notices TO brimful_api;
GRANT SELECT ON TABLE public.expiry_notices TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.expiry_notices TO brimful_engine;
GRANT SELECT,INSERT,DELETE ON TABLE public.idempotency TO brimful_api;
GRANT UPDATE(status) ON TABLE public.idempotency TO brimful_api;
GRANT UPDATE(response) ON TABLE public.idempotency TO brimful_api;
GRANT SELECT ON TABLE public.installation TO brimful_api;
GRANT SELECT ON TABLE public.installation TO brimful_portal;
GRANT SELECT,UPDATE ON TABLE public.installation TO brimful_engine;
GRANT SELECT ON TABLE public.installation_key TO brimful_api;
GRANT SELECT ON TABLE public.installation_key TO brimful_portal;
GRANT SELECT ON TABLE public.installation_key TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.leases TO brimful_api;
GRANT SELECT ON TABLE public.leases TO brimful_portal;
GRANT SELECT ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(used) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(used) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(used) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(recent_units) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(recent_units) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(recent_units) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(recent_s) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(recent_s) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(recent_s) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(interval_s) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(interval_s) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(interval_s) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(used_at) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(used_at) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(used_at) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(state) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(state) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(state) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(why) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(why) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(why) ON TABLE public.leases TO brimful_engine;
GRANT UPDATE(good_until) ON TABLE public.leases TO brimful_api;
GRANT UPDATE(good_until) ON TABLE public.leases TO brimful_portal;
GRANT UPDATE(good_until) ON TABLE public.leases TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.lot_checkpoints TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.lot_checkpoints TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.lot_checkpoints TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.offers TO brimful_api;
GRANT SELECT ON TABLE public.offers TO brimful_portal;
GRANT SELECT ON TABLE public.offers TO brimful_engine;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.operator_sessions TO brimful_engine;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.operator_tries TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.operators TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.outgoing_events TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.outgoing_events TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.outgoing_events TO brimful_engine;
GRANT SELECT,INSERT ON TABLE public.portal_links TO brimful_api;
GRANT SELECT ON TABLE public.portal_links TO brimful_portal;
GRANT SELECT,INSERT,DELETE ON TABLE public.portal_links TO brimful_engine;
GRANT UPDATE(expires_at) ON TABLE public.portal_links TO brimful_engine;
GRANT UPDATE(used_at) ON TABLE public.portal_links TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.portal_sessions TO brimful_portal;
GRANT DELETE ON TABLE public.portal_sessions TO brimful_engine;
GRANT SELECT(session_id) ON TABLE public.portal_sessions TO brimful_engine;
GRANT SELECT(link_id) ON TABLE public.portal_sessions TO brimful_engine;
GRANT SELECT(customer_id) ON TABLE public.portal_sessions TO brimful_engine;
GRANT SELECT(expires_at) ON TABLE public.portal_sessions TO brimful_engine;
GRANT SELECT(revoked_at),UPDATE(revoked_at) ON TABLE public.portal_sessions TO brimful_engine;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.presets TO brimful_api;
GRANT SELECT ON TABLE public.presets TO brimful_portal;
GRANT SELECT ON TABLE public.presets TO brimful_engine;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.rate_limit_uses TO brimful_api;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.rates TO brimful_api;
GRANT SELECT ON TABLE public.rates TO brimful_portal;
GRANT SELECT ON TABLE public.rates TO brimful_engine;
GRANT SELECT ON TABLE public.restore_guard TO brimful_api;
GRANT SELECT ON TABLE public.restore_guard TO brimful_portal;
GRANT SELECT,UPDATE ON TABLE public.restore_guard TO brimful_engine;
GRANT SELECT,INSERT,DELETE ON TABLE public.scheduled_credits TO brimful_api;
GRANT SELECT,DELETE ON TABLE public.scheduled_credits TO brimful_portal;
GRANT SELECT,DELETE ON TABLE public.scheduled_credits TO brimful_engine;
GRANT SELECT ON TABLE public.spend_days TO brimful_api;
GRANT SELECT ON TABLE public.spend_days TO brimful_portal;
GRANT SELECT,INSERT,DELETE ON TABLE public.spend_days TO brimful_engine;
GRANT UPDATE(used) ON TABLE public.spend_days TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.step_up_codes TO brimful_portal;
GRANT SELECT,INSERT ON TABLE public.stripe_events TO brimful_api;
GRANT SELECT ON TABLE public.stripe_events TO brimful_portal;
GRANT SELECT,UPDATE ON TABLE public.stripe_events TO brimful_engine;
GRANT SELECT ON TABLE public.suspensions TO brimful_api;
GRANT SELECT ON TABLE public.suspensions TO brimful_portal;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.suspensions TO brimful_engine;
GRANT SELECT ON TABLE public.threshold_changes TO brimful_api;
GRANT SELECT,INSERT ON TABLE public.threshold_changes TO brimful_portal;
GRANT SELECT,INSERT,DELETE ON TABLE public.threshold_changes TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.token_buckets TO brimful_api;
GRANT SELECT,INSERT,UPDATE ON TABLE public.token_buckets TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.token_buckets TO brimful_engine;
GRANT SELECT ON TABLE public.trial_balance TO brimful_api;
GRANT SELECT ON TABLE public.trial_balance TO brimful_portal;
GRANT SELECT ON TABLE public.trial_balance TO brimful_engine;
GRANT SELECT ON TABLE public.verifications TO brimful_api;
GRANT SELECT ON TABLE public.verifications TO brimful_portal;
GRANT SELECT,INSERT,UPDATE ON TABLE public.verifications TO brimful_engine;
GRANT SELECT ON TABLE public.verified_marks TO brimful_api;
GRANT SELECT ON TABLE public.verified_marks TO brimful_portal;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.verified_marks TO brimful_engine;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.webhook_endpoints TO brimful_api;
GRANT SELECT ON TABLE public.webhook_endpoints TO brimful_engine;
GRANT SELECT(endpoint_id) ON TABLE public.webhook_endpoints TO brimful_portal;
GRANT SELECT(topics) ON TABLE public.webhook_endpoints TO brimful_portal;
GRANT UPDATE(enabled) ON TABLE public.webhook_endpoints TO brimful_engine;
GRANT SELECT(enabled) ON TABLE public.webhook_endpoints TO brimful_portal;
GRANT UPDATE(disabled_reason) ON TABLE public.webhook_endpoints TO brimful_engine;
GRANT UPDATE(failing_since) ON TABLE public.webhook_endpoints TO brimful_engine;
GRANT UPDATE(updated_at) ON TABLE public.webhook_endpoints TO brimful_engine;
GRANT SELECT,INSERT,UPDATE ON TABLE public.webhook_rejections TO brimful_api;
GRANT SELECT ON TABLE public.webhook_rejections TO brimful_portal;
GRANT SELECT ON TABLE public.webhook_rejections TO brimful_engine;
GRANT SELECT ON TABLE public.workers TO brimful_api;
GRANT SELECT ON TABLE public.workers TO brimful_portal;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.workers TO brimful_engine;
