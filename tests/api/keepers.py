"""Accounts that may act for an organizer, and what integrations and gates get from them."""

from __future__ import annotations

from typing import Any

from engine.ids import new_id
from store import users
from tests.api.world import Answer, World


async def keeper(
    world: World, organizer_id: str | None, role: str = "organizer"
) -> tuple[str, str]:
    """Make a real account that works for an organizer; return its id and a token."""
    user_id = await users.add(
        world.database,
        email=f"{new_id('usr')}@example.org",
        name="Keeper",
        password_hash="x",
        role=role,
        organizer_id=organizer_id,
    )
    assert user_id is not None
    return user_id, world.token(user_id, role=role, organizer_id=organizer_id, version=99)


async def new_organizer(world: World) -> str:
    """Make an organizer; return its id."""
    return await users.add_organizer(world.database, "House")


async def ask_for_key(world: World, token: str, *scopes: str, **fields: Any) -> Answer:
    """Ask for an API key."""
    body = {"name": "Integration", "scopes": list(scopes)} | fields
    return await world.call("POST", "/v1/api-keys", token=token, json=body)


async def make_key(world: World, token: str, *scopes: str, **fields: Any) -> dict[str, Any]:
    """Make an API key; return what is told of it."""
    made = await ask_for_key(world, token, *scopes, **fields)
    assert 201 == made.status, made.text
    return dict(made.body)


async def make_device(
    world: World, token: str, event_id: str, gate: str = "north"
) -> dict[str, Any]:
    """Announce a device and enrol it; return what is told of it."""
    path = f"/v1/events/{event_id}/devices"
    made = await world.call("POST", path, token=token, json={"gate": gate})
    assert 201 == made.status, made.text
    code = {"code": made.body["code"]}
    enrolled = await world.call("POST", "/v1/devices/enroll", json=code)
    assert 201 == enrolled.status, enrolled.text
    return dict(enrolled.body)


async def execute(world: World, statement: str, *values: object) -> None:
    """Do as an operator does, in SQL."""
    await world.database.execute(statement, *values)
