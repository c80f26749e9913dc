"""What each role may do with each table, as one text: whoever changes a grant changes this file, and is asked why."""

import pathlib

import psycopg

COMMITTED = pathlib.Path(__file__).parent / "grants.txt"
ROLES = ("brimful_api", "brimful_portal", "brimful_engine")
QUERY = """
    SELECT c.relname AS name, r.role, v.verb,
        has_table_privilege(r.role, c.oid, v.verb) AS whole,
        CASE WHEN v.verb IN ('SELECT', 'INSERT', 'UPDATE') THEN (
            SELECT string_agg(a.attname, ' ' ORDER BY a.attname) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND has_column_privilege(r.role, c.oid, a.attnum, v.verb)) END AS columns
    FROM pg_class AS c, unnest(%s::text[]) AS r (role),
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) WITH ORDINALITY AS v (verb, place)
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
        AND c.relname !~ '^(_?yoyo|procrastinate)'
    ORDER BY c.relname, r.role, v.place
"""


def granted(url):
    lines = {}
    with psycopg.connect(url) as connection:
        for name, role, verb, whole, columns in connection.execute(QUERY, (list(ROLES),)):
            may = verb if whole else f"{verb} ({columns})" if columns else None
            if may is not None:
                lines.setdefault((name, role), []).append(may)
    return "".join(
        f"{name:<22} {role.removeprefix('brimful_'):<7} {', '.join(may)}\n" for (name, role), may in lines.items()
    )


def test_the_roles_may_do_just_what_is_written_down(database_url):
    assert granted(database_url) == COMMITTED.read_text()


def test_nobody_who_serves_touches_what_is_written_for_ever():
    for line in COMMITTED.read_text().splitlines():
        name, role, may = line.split(maxsplit=2)
        assert "TRUNCATE" not in may, line
        if name in {"entries", "consents", "consent_evidence", "audit"}:
            assert "UPDATE" not in may, line
            assert "DELETE" not in may, line
        if name == "rules" and role != "portal":
            assert may == "SELECT", line
        if name in {"consents", "consent_evidence", "card_setups"} and role != "portal":
            assert "INSERT" not in may, line
        if name == "cards" and role != "engine":
            assert "INSERT" not in may, line
        if name in {"api_keys", "operators", "operator_sessions", "operator_tries"} and role == "portal":
            raise AssertionError(line)
