"""What one wants to be told beside what is one's own business, and in which zone."""

from __future__ import annotations

from store import preferences
from usecases import told
from usecases.asked import PreferencesChange
from usecases.denials import as_value, invalid, not_found
from usecases.drafts import zone_name
from usecases.services import Services
from usecases.tokens import Principal


@as_value
async def read(services: Services, person: Principal) -> told.Preferences:
    """Return what the person is told."""
    return await _read(services, person)


async def _read(services: Services, person: Principal) -> told.Preferences:
    pool = services.pools.own
    zone = await preferences.timezone_of(pool, person.user_id)
    if zone is None:
        raise not_found()
    muted = await preferences.muted_of(pool, person.user_id)
    wanted = {
        topic: told.Channels(mail=(topic, "mail") not in muted, push=(topic, "push") not in muted)
        for topic in preferences.TOPICS
    }
    return told.Preferences(**wanted, timezone=zone or None)


@as_value
async def change(
    services: Services, person: Principal, asked: PreferencesChange
) -> told.Preferences:
    """
    Change what the person is told; what is not named stays, and an empty zone is the venue's alone.

    Atomicity: one transaction.
    """
    zone = zone_name(asked.timezone) if asked.timezone else asked.timezone
    named = [
        ((topic, channel), wanted)
        for topic in preferences.TOPICS
        for channel in preferences.CHANNELS
        if (wanted := getattr(getattr(asked, topic), channel, None)) is not None
    ]
    async with services.pools.own.acquire() as connection, connection.transaction():
        await preferences.change(
            connection,
            person.user_id,
            muted=[what for what, wanted in named if not wanted],
            unmuted=[what for what, wanted in named if wanted],
            timezone=zone,
        )
    return await _read(services, person)


@as_value
async def topic_of(services: Services, token: str | None) -> preferences.Topic:
    """Return which letters a token ends; nothing is changed."""
    return (await _opened(services, token))[1]


@as_value
async def unsubscribe(services: Services, token: str | None) -> preferences.Topic:
    """
    End the letters of a topic to the person that a token names, whoever sends it.

    Idempotency: by state. From then on no letter of it leaves, also of those that are written.
    """
    user_id, topic = await _opened(services, token)
    await preferences.mute(services.pools.own, user_id, [(topic, "mail")])
    return topic


async def _opened(services: Services, token: str | None) -> tuple[str, preferences.Topic]:
    key = await preferences.secret(services.pools.own)
    found = preferences.opened(key, token or "")
    if found is None:
        raise invalid("/query/token", "is of no letter of ours")
    return found
