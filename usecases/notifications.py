"""Messages in one's account: what happened to what one has, and which of them one has seen."""

from __future__ import annotations

import datetime as dt
import re

from papers.messages import IN_ACCOUNT, title
from papers.words import language_of
from store import notifications, users
from store.notifications import Notification
from usecases import told
from usecases.asked import SeenMessages
from usecases.denials import as_value, invalid, not_found
from usecases.services import Services
from usecases.tokens import Principal

_NUMBER = re.compile("[0-9]{1,18}")


@as_value
async def listing(
    services: Services, person: Principal, *, before: tuple[dt.datetime, str], limit: int
) -> told.Notifications:
    """Return a page of the person's messages, newest first, and how many they have not seen."""
    pool, after = services.pools.own, before[1]
    if after and not _NUMBER.fullmatch(after):
        raise invalid("/query/after", "is not a cursor of this list")
    before_id = int(after) if after else notifications.NEWEST_ID
    found = await notifications.of_person(
        pool, person.user_id, before_id=before_id, limit=limit + 1
    )
    unread = await notifications.count_unseen(pool, person.user_id)
    user = await users.by_id(services.pools.sign_in, person.user_id)
    language = language_of(user.language if user is not None else None)
    page = found[:limit]
    last = (page[-1].written_at, str(page[-1].id)) if len(found) > limit else None
    return told.Notifications(told.Page([_view(one, language) for one in page], last), unread)


@as_value
async def unread(services: Services, person: Principal) -> told.Unread:
    """Return how many messages the person has not seen."""
    return told.Unread(unread=await notifications.count_unseen(services.pools.own, person.user_id))


@as_value
async def see(services: Services, person: Principal, asked: SeenMessages) -> told.Unread:
    """
    Note that the person has seen one message, or all up to one.

    Idempotency: by state; a message has the moment in which it was first seen.
    """
    pool = services.pools.own
    if (asked.notification_id is None) == (asked.up_to is None):
        raise invalid("", "must have either notification_id or up_to")
    if asked.notification_id is not None:
        number = asked.notification_id
        is_there = _NUMBER.fullmatch(number)
        if not is_there or not await notifications.see(pool, person.user_id, int(number)):
            raise not_found()
    elif asked.up_to is not None:
        if not _NUMBER.fullmatch(asked.up_to):
            raise invalid("/up_to", "is no id of a message")
        await notifications.see_up_to(pool, person.user_id, int(asked.up_to))
    return told.Unread(unread=await notifications.count_unseen(pool, person.user_id))


def _view(row: Notification, language: str) -> told.Notification:
    page, said = "", ""
    if row.kind in IN_ACCOUNT:  # Else it is of code that is newer.
        named = {"about_id": row.subject_id, "event_id": row.event_id or ""}
        page = IN_ACCOUNT[row.kind].format_map(named)
        said = title(row.kind, language, {"event": row.event_name})
    return told.Notification(
        id=str(row.id),
        kind=row.kind,
        event_id=row.event_id,
        subject_id=row.subject_id,
        title=said,
        language=language,
        page=page,
        at=row.written_at,
        until=row.until,
        seen_at=row.seen_at,
    )
