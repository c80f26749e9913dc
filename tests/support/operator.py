"""People at the operators' console: made as the command line makes them, signed in as a browser does."""

import contextlib
import re
import time

import httpx
import pyotp

from brimful.auth import operators

PASSWORD = "correct horse battery"


async def hire(database, name, role):
    """A new operator; the secret of their second factor."""
    async with database.transaction() as tx:
        return await operators.create(tx, name=name, role=role, password=PASSWORD)


def code(secret, *, steps=0):
    """What their authenticator shows, `steps` of 30 s from now."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


class Colleague:
    """Somebody at the console, by plain HTTP."""

    def __init__(self, url, **options):
        self.http = httpx.AsyncClient(base_url=f"{url}/console", timeout=30, **options)
        self.csrf = None

    async def sign_in(self, name, secret, *, password=PASSWORD, steps=0):
        form = {"name": name, "password": password, "code": code(secret, steps=steps)}
        answer = await self.http.post("/sign-in", data=form)
        if answer.status_code == 303:
            await self.see("/")
        return answer

    async def see(self, path, *, expect=200):
        answer = await self.http.get(path)
        assert answer.status_code == expect, answer.text
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', answer.text)
        self.csrf = found[1] if found else self.csrf
        return answer.text

    async def press(self, path, *, expect=303, **fields):
        answer = await self.http.post(path, data={"csrf": self.csrf or "", **fields})
        assert answer.status_code == expect, answer.text
        return answer.text


@contextlib.asynccontextmanager
async def colleague(harness, name="grace", role="operator"):
    """A new operator of that role, signed in."""
    secret = await hire(harness.engine.database, name, role)
    person = Colleague(harness.url)
    try:
        answer = await person.sign_in(name, secret)
        assert answer.status_code == 303, answer.text
        yield person
    finally:
        await person.http.aclose()


async def audit(harness, action):
    return await harness.sql(
        "SELECT actor, customer_id, before, after FROM audit WHERE action = %s ORDER BY audit_id", (action,)
    )
