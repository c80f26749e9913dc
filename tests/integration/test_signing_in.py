"""The way into the operators' console: name, password and code, or a trusted proxy."""

import asyncio
import datetime as dt

import argon2
import psycopg
import pytest

from brimful.auth import operators
from brimful.core import errors
from brimful.core.clock import Clock
from brimful.core.errors import Refused
from brimful.db.pool import Database
from support import operator
from support.operator import Colleague, audit, colleague, hire


async def test_name_password_and_code_open_the_console(harness):
    secret = await hire(harness.engine.database, "grace", "viewer")
    person = Colleague(harness.url)
    assert (await person.http.get("/")).headers["location"] == "/console/sign-in"
    assert (await person.sign_in("grace", secret)).status_code == 303
    assert "Overview" in await person.see("/")
    await person.press("/sign-out")
    assert (await person.http.get("/")).status_code == 303
    await person.http.aclose()
    assert [row["actor"] for row in await audit(harness, "operator.signed_in")] == ["operator:grace"]


async def test_whatever_is_wrong_the_answer_is_the_same(harness):
    secret = await hire(harness.engine.database, "grace", "viewer")
    answers = []
    for name, password, code in (
        ("grace", "wrong password", operator.code(secret)), ("grace", operator.PASSWORD, "000000"),
        ("nobody", operator.PASSWORD, operator.code(secret)), ("grace", "", ""), ("grace", operator.PASSWORD, "é" * 6),
    ):  # fmt: skip
        person = Colleague(harness.url)
        answer = await person.http.post("/sign-in", data={"name": name, "password": password, "code": code})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        answers.append(answer.text)
        await person.http.aclose()
    assert len(set(answers)) == 1


async def test_a_code_is_taken_once(harness):
    secret = await hire(harness.engine.database, "grace", "viewer")
    one, other = Colleague(harness.url), Colleague(harness.url)
    answers = await asyncio.gather(one.sign_in("grace", secret), other.sign_in("grace", secret))
    assert sorted(answer.status_code for answer in answers) == [303, 401]
    assert (await other.sign_in("grace", secret, steps=1)).status_code == 303  # the next one is good
    for person in (one, other):
        await person.http.aclose()


@pytest.fixture
def quick_hashes(monkeypatch):
    """For a story of many tries: what it is about is their number."""
    monkeypatch.setattr(operators, "_HASHER", argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


async def test_five_wrong_tries_close_an_account_for_a_quarter_of_an_hour_however_many_come_at_once(
    harness, quick_hashes
):
    secret = await hire(harness.engine.database, "grace", "viewer")
    person = Colleague(harness.url)
    await asyncio.gather(*(person.sign_in("grace", secret, password="wrong password") for _ in range(12)))
    assert (await person.sign_in("grace", secret)).status_code == 401
    assert len(await audit(harness, "operator.sign_in_failed")) == 5
    async with harness.engine.database.transaction() as tx:
        assert (await operators.list_all(tx))[0].locked_until is not None
    harness.clock.offset += operators._LOCKED
    async with harness.engine.database.transaction() as tx:
        assert (await operators.list_all(tx))[0].locked_until is None
    assert (await person.sign_in("grace", secret, steps=30)).status_code == 303
    await person.http.aclose()


async def test_a_stranger_elsewhere_does_not_lock_somebody_out_and_fifty_tries_from_everywhere_do(
    harness, quick_hashes
):
    database = harness.engine.database
    secret = await hire(database, "grace", "viewer")

    async def knock(address, password="wrong password"):
        try:
            return await operators.sign_in(database, "grace", password, operator.code(secret), address=address)
        except errors.Refused as refused:
            return refused.code

    for _ in range(6):
        await knock("192.0.2.1")
    assert len(await knock("192.0.2.2", operator.PASSWORD)) == 43
    harness.clock.offset += operators._LOCKED
    for number in range(50):
        await knock(f"192.0.2.{number // 5 + 10}")
    secret_code = operator.code(secret, steps=30)
    with pytest.raises(errors.Refused):
        await operators.sign_in(database, "grace", operator.PASSWORD, secret_code, address="192.0.2.200")
    async with database.transaction() as tx:
        await operators.unlock(tx, "grace")
    assert await operators.sign_in(database, "grace", operator.PASSWORD, secret_code, address="192.0.2.200")


async def test_a_flood_of_sign_ins_is_turned_away_before_it_hashes(harness, monkeypatch):
    monkeypatch.setattr(operators, "_waiting", lambda: operators._WAITING_MAX)
    person = Colleague(harness.url)
    answer = await person.http.post("/sign-in", data={"name": "x", "password": "x", "code": "1"})
    assert answer.status_code == 429
    await person.http.aclose()


async def test_whoever_was_renewed_meanwhile_does_not_come_in_with_what_they_had(harness, monkeypatch):
    database = harness.engine.database
    secret = await hire(database, "grace", "operator")
    matches = operators._matches

    async def slowly(stored, password):
        right = await matches(stored, password)
        async with database.transaction() as tx:
            await operators.renew(tx, "grace", password="another horse battery")
        return right

    monkeypatch.setattr(operators, "_matches", slowly)
    person = Colleague(harness.url)
    assert (await person.sign_in("grace", secret)).status_code == 401
    await person.http.aclose()


async def test_a_session_ends_by_idleness_by_age_and_when_its_operator_is_disabled(harness):
    async with colleague(harness) as person:
        harness.clock.offset += operators.SESSION_IDLE
        assert (await person.http.get("/")).status_code == 303
    harness.clock.offset = Clock().offset
    async with colleague(harness, "ada") as person:
        for _ in range(16):
            harness.clock.offset += operators.SESSION_IDLE * 0.99
            last = await person.http.get("/")
        assert last.status_code == 200
        harness.clock.offset += operators.SESSION_IDLE * 0.99
        assert (await person.http.get("/")).status_code == 303
    harness.clock.offset = Clock().offset
    async with colleague(harness, "joan") as person:
        async with harness.engine.database.transaction() as tx:
            await operators.disable(tx, "joan")
        assert (await person.http.get("/")).status_code == 303


async def test_a_password_is_kept_as_argon2id_and_the_doors_roles_cannot_read_it(harness):
    await hire(harness.engine.database, "grace", "viewer")
    [row] = await harness.sql("SELECT password_hash FROM operators")
    assert row["password_hash"].startswith("$argon2id$")
    for role in ("brimful_api", "brimful_portal"):
        database = Database(harness.database_url, role, pool_max=1)
        await database.open()
        for table in ("operators", "operator_sessions"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with database.transaction() as tx:
                    await tx.all(f"SELECT * FROM {table}")
        await database.close()


@pytest.mark.parametrize("name", ["", "Grace", "a b", "x" * 101, "ä"])
async def test_a_name_is_plain_and_a_password_long_enough(harness, name):
    database = harness.engine.database
    with pytest.raises(errors.Refused):
        await hire(database, name, "viewer")
    with pytest.raises(errors.Refused, match="12 to 200"):
        async with database.transaction() as tx:
            await operators.create(tx, name="grace", role="viewer", password="short")


async def test_a_trusted_proxy_says_who_comes_and_nobody_else_can(database_url):
    from support.harness import Harness

    proof = "proxy-secret-0123456789abcdef"
    extra = {
        "BRIMFUL_CONSOLE_PROXY_HEADER": "X-Forwarded-Email", "BRIMFUL_CONSOLE_PROXY_SECRET": proof,
        "BRIMFUL_CONSOLE_OPERATORS": "ada@example.com:operator,bob@example.com:viewer",
    }  # fmt: skip
    async with Harness.opened(database_url, **extra) as harness:
        customer_id = await harness.customer()
        for name, secret, status in (
            ("ada@example.com", proof, 200), ("Bob@example.com", proof, 200), ("eve@example.com", proof, 303),
            ("ada@example.com", "proxy-secret-0123456789abcdeg", 303), ("ada@example.com", "", 303), ("", proof, 303),
        ):  # fmt: skip
            person = Colleague(harness.url, headers={"X-Forwarded-Email": name, "X-Brimful-Proxy-Secret": secret})
            assert (await person.http.get(f"/customers/{customer_id}")).status_code == status, name
            await person.http.aclose()
        ada = Colleague(harness.url, headers={"X-Forwarded-Email": "ada@example.com", "X-Brimful-Proxy-Secret": proof})
        await ada.see("/charging")
        await ada.press("/charging/stop", reason="a look at the numbers")
        assert (await ada.http.post("/sign-in", data={"name": "ada"})).status_code == 401
        await ada.http.aclose()
        assert [row["actor"] for row in await audit(harness, "charging.suspended")] == ["operator:ada@example.com"]
        both = [("X-Forwarded-Email", "ada@example.com"), ("X-Forwarded-Email", "bob@example.com"),
                ("X-Brimful-Proxy-Secret", proof)]  # fmt: skip
        eve = Colleague(harness.url, headers=both)
        assert (await eve.http.get("/charging")).status_code == 303
        await eve.http.aclose()


async def test_a_password_is_verified_as_it_was_given(harness):
    """A longer one whose beginning is right is another."""
    long = "".join(f"word{number} " for number in range(40))[:200]
    async with harness.engine.database.transaction() as tx:
        secret = await operators.create(tx, name="grace", role="viewer", password=long)
    person = Colleague(harness.url)
    assert (await person.sign_in("grace", secret, password=long + "x")).status_code == 401
    assert (await person.sign_in("grace", secret, password=long)).status_code == 303
    await person.http.aclose()


@pytest.mark.parametrize(
    "password", ["password1234", "qwertyuiop12", "aaaaaaaaaaaa", "brimfulconsole", "gracegracegrace", "glitchai123456"]
)
async def test_a_password_that_is_easy_to_guess_is_refused(harness, password):
    async with harness.engine.database.transaction() as tx:
        with pytest.raises(Refused, match="easy to guess"):
            await operators.create(tx, name="grace", role="viewer", password=password, merchant="Glitch AI")


async def test_somebody_changes_their_own_password(harness):
    async with colleague(harness, "grace", "viewer") as grace:
        [row] = await harness.sql("SELECT totp_secret FROM operators")
        elsewhere = Colleague(harness.url)
        harness.clock.offset += dt.timedelta(seconds=30)
        assert (await elsewhere.sign_in("grace", row["totp_secret"], steps=1)).status_code == 303
        harness.clock.offset += dt.timedelta(seconds=30)
        assert "Change your password" in await grace.see("/")
        form = {
            "password": operator.PASSWORD,
            "code": operator.code(row["totp_secret"], steps=2),
            "new": "another horse battery",
        }
        for wrong in ({"password": "wrong password"}, {"code": "000000"}, {"new": "password1234"}, {"new": "short"}):
            refused = await grace.press("/password", expect=422 if "new" in wrong else 401, **{**form, **wrong})
            assert 'role="alert"' in refused
        assert "It is changed" in await grace.press("/password", expect=200, **form)
        assert (await elsewhere.http.get("/")).status_code == 303  # ended
        assert "Overview" in await grace.see("/")
        harness.clock.offset += dt.timedelta(seconds=30)
        codes = {"steps": 3}
        assert (await elsewhere.sign_in("grace", row["totp_secret"], **codes)).status_code == 401
        again = await elsewhere.sign_in("grace", row["totp_secret"], password="another horse battery", **codes)
        assert again.status_code == 303
        await elsewhere.http.aclose()
    assert len(await audit(harness, "operator.password_changed")) == 1
