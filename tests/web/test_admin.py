"""The admin's pages: accounts and health; to all others they are not there."""

from __future__ import annotations

from engine.ids import new_id
from store import operators
from tests.api.world import World
from tests.web.reading import fields, page, send, words
from tests.web.test_manage import enter
from tests.web.test_visitors import PASSWORD


async def test_an_account_is_found_and_led(world: World) -> None:
    """Found by name, address and role; made something else, signed out, kept out, let in again."""
    own = await enter(world, "admin")
    email = f"{new_id('usr')}@example.org"
    account = {"email": email, "password": PASSWORD, "name": "Grace Hopper"}
    token = (await world.call("POST", "/v1/auth/register", json=account)).body["access_token"]
    user_id = (await world.call("GET", "/v1/me", token=token)).body["id"]
    for query in (f"q={email}", f"q={user_id}", f"q={email}&role=user"):
        assert email in words((await page(world, f"/admin/users?{query}")).text)
    none = await page(world, f"/admin/users?q={email}&role=admin", "de")
    assert "Dazu gibt es kein Konto." in words(none.text)
    at = f"/admin/users/{user_id}"
    form = fields((await page(world, at)).text)
    assert 303 == (await send(world, f"{at}/end-sessions", form)).status
    assert 401 == (await world.call("GET", "/v1/me", token=token)).status
    lacking = await send(world, f"{at}/role", form | {"role": "organizer"})
    assert (422, True) == (lacking.status, "There is a problem" in words(lacking.text))
    given = form | {"role": "organizer", "organizer_id": own}
    assert 303 == (await send(world, f"{at}/role", given)).status
    assert own in words((await page(world, at)).text)
    assert 303 == (await send(world, f"{at}/disable", form)).status
    assert "It is kept out" in words((await page(world, at)).text)
    assert 303 == (await send(world, f"{at}/enable", form)).status
    assert "It is kept out" not in words((await page(world, at)).text)
    assert 404 == (await page(world, "/admin/users/usr_00000000000000000000000000")).status
    acts = await world.database.fetch("SELECT act FROM acts WHERE subject = $1", user_id)
    assert {"account.end_sessions", "account.role", "account.disable", "account.enable"} <= {
        row["act"] for row in acts
    }


async def test_health_says_whether_sales_are_open(world: World) -> None:
    """Open, with what lags and what was proved; paused, since when, once a shard is shut."""
    await enter(world, "admin")
    shown = words((await page(world, "/admin")).text)
    assert "Sales are open." in shown
    await world.database.execute("UPDATE shard_epoch SET state = 'frozen', reason = 'a test'")
    try:
        paused = words((await page(world, "/admin", "de")).text)
    finally:
        await world.database.execute("UPDATE shard_epoch SET state = 'open', reason = ''")
    assert "Der Verkauf steht still." in paused
    assert "frozen: a test" in paused


async def test_s8_to_others_it_is_not_there(world: World) -> None:
    """Neither to an organizer nor to a buyer; nothing is done for them."""
    others: tuple[operators.Role, ...] = ("organizer", "user")
    for role in others:
        await enter(world, role)
        form = fields((await page(world, "/events")).text)
        at = f"/admin/users/{new_id('usr')}"
        for path in ("/admin", "/admin/users", at):
            assert 404 == (await page(world, path)).status, (role, path)
        for what in ("role", "disable", "enable", "end-sessions"):
            answer = await send(world, f"{at}/{what}", form | {"role": "admin"})
            assert 404 == answer.status, (role, what)
