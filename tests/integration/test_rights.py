"""Who may do what: nobody but the customer writes rules, cards and consents; no customer sees another's."""

import contextlib

import psycopg

from brimful.db.pool import role_conninfo

FORBIDDEN = [
    ("brimful_api", "INSERT INTO rules SELECT * FROM rules"),
    ("brimful_api", "UPDATE rules SET enabled = true"),
    ("brimful_api", "INSERT INTO cards SELECT * FROM cards"),
    ("brimful_api", "UPDATE cards SET state = 'active'"),
    ("brimful_api", "INSERT INTO consents SELECT * FROM consents"),
    ("brimful_api", "INSERT INTO card_setups SELECT * FROM card_setups"),
    ("brimful_api", "SELECT * FROM consent_evidence"),
    ("brimful_engine", "UPDATE rules SET enabled = true"),
    ("brimful_engine", "INSERT INTO consents SELECT * FROM consents"),
    ("brimful_engine", "INSERT INTO card_setups SELECT * FROM card_setups"),
    ("brimful_portal", "INSERT INTO cards SELECT * FROM cards"),
    ("brimful_portal", "UPDATE consents SET action = 'given'"),
    ("brimful_portal", "SELECT * FROM api_keys"),
    *[
        (role, statement)
        for role in ("brimful_api", "brimful_portal", "brimful_engine")
        for statement in ("DELETE FROM accounts", "UPDATE accounts SET customer_id = gen_random_uuid()")
    ],
    *[
        (role, f"{verb} {table}{rest}")
        for role in ("brimful_api", "brimful_portal", "brimful_engine")
        for table in ("entries", "consents", "consent_evidence")
        for verb, rest in (("UPDATE", " SET customer_id = customer_id"), ("DELETE FROM", ""), ("TRUNCATE", ""))
    ],
]


def test_the_database_refuses_what_a_role_must_not_do(database_url):
    allowed = []
    for role, statement in FORBIDDEN:
        refused = (psycopg.errors.InsufficientPrivilege,)
        if "SET customer_id" in statement:  # a coordinator lets nobody move a row to another's node
            refused += (psycopg.errors.FeatureNotSupported,)
        with psycopg.connect(role_conninfo(database_url, role)) as connection, contextlib.suppress(*refused):
            connection.execute(statement)
            allowed.append((role, statement))
    assert allowed == []


async def test_no_api_key_writes_rules_cards_or_consents(harness):
    customer_id, _ = await harness.funded()
    before = await harness.sql("SELECT * FROM rules")
    for path in ("auto-top-ups", "auto-top-ups/USD", "cards", "cards/card_1", "consents"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            refused = await harness.call(method, f"/customers/{customer_id}/{path}", {"enabled": True}, expect=403)
            assert refused["code"] == "customer_only"
            assert "/v1/billing-portal/sessions" in refused["detail"]
    assert await harness.sql("SELECT * FROM rules") == before


async def test_without_a_key_nothing_answers(harness):
    paths = [("GET", "/customers"), ("POST", "/usage"), ("POST", "/top-ups"), ("POST", "/billing-portal/sessions")]
    for method, path in paths:
        for headers in ({"Authorization": "Bearer wrong_key_0123456789abcdef"}, {"Authorization": "nonsense"}):
            refused = await harness.call(method, path, {}, expect=401, headers=headers)
            assert refused["code"] == "unauthorized"
