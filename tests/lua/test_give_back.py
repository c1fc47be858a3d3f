"""What may be given back, and by whom: tickets by name, those inside, given away, or of a group."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys, scripts
from engine.commands import CancelItem, Scan, Transfer
from engine.door import Reign
from engine.ids import new_id, ticket_id
from engine.outcomes import Applied, Booked, Refused
from engine.records import Cancelled, Holder, Item, ItemCancelled
from engine.status import Status
from tests.checks import ask, journal
from tests.lua.hall import Hall
from tests.lua.world import Command, Till, check_folded, dump

#: A tier that is sold in twos or more.
GROUP = [(1, 2, 0, 0, 0)]


async def last(till: Till) -> Any:
    """Return the journal's last record."""
    return (await journal(till.redis, till.shard))[-1].record


async def passing(till: Till, command: Command, count: int) -> list[bool]:
    """Tell of each ticket of a booking whether it still lives; leaves it as it was."""
    replies = [await till.undo(command, number) for number in range(1, count + 1)]
    return [reply[0] != "TICKET_CANCELLED" for reply in replies]


async def test_whole_booking_stays_while_somebody_is_in(till: Till, booking: Command) -> None:
    """Cancelling all of it is refused as cancelling that place is, until the check-in is undone."""
    _, _, _, at_ms, _ = await till.checkin(booking, 2)
    before = await dump(till.redis, till.shard)
    refused = ["ALREADY_CHECKED_IN", str(at_ms), "north", ticket_id(till.booking(booking), 2)]
    assert [refused] == await till.cancel(booking)
    assert refused == await till.cut(booking, "#2")
    assert refused == await till.cut(booking, "1:2")
    assert refused == await till.cut(booking, "2:1,1:2")
    assert before == await dump(till.redis, till.shard)
    await till.undo(booking, 2)
    assert "CANCELLED" == (await till.cancel(booking))[0][0]
    await check_folded(till)


async def test_whole_booking_without_who_was_cut(till: Till, booking: Command) -> None:
    """A ticket that was given back before does not hold the rest."""
    assert "ITEM_CANCELLED" == (await till.cut(booking, "#1"))[0]
    assert "CANCELLED" == (await till.cancel(booking))[0][0]
    assert ["REPLAYED"] == [(await till.cancel(booking))[0][0]]
    await check_folded(till)


async def test_cancelled_event_ends_bookings_of_those_inside(till: Till, booking: Command) -> None:
    """The organizer's cancellation ends all; who was in stays on record as checked in."""
    friend = new_id("usr")
    await till.checkin(booking, 1)
    await till.transfer(booking, friend, 3)
    await till.alone("cancel_event")
    assert ["EMPTIED", 0, 1, 0, 0] == await till.alone("empty_event", till.booking(booking))
    record = await last(till)
    assert isinstance(record, Cancelled)
    assert ("event_cancelled", [Holder(3, friend)]) == (record.reason, record.holders)
    names = keys.event(till.shard, till.event)
    row = await ask(till.redis, "HGET", names.tickets, ticket_id(till.booking(booking), 1))
    assert row.startswith(b"checked_in 1 ")
    await check_folded(till)


async def test_group_is_not_split(till: Till) -> None:
    """Of a tier with a least number per order, what is kept is nothing or no less."""
    await till.publish(rules=GROUP)
    group = Command(new_id("usr"), (1, 4), (2, 1))
    await till.book(group)
    before = await dump(till.redis, till.shard)
    assert ["BELOW_MINIMUM", 2, 1] == await till.cut(group, "1:3")
    assert ["BELOW_MINIMUM", 2, 2] == await till.cut(group, "2:1,1:3")
    assert ["BELOW_MINIMUM", 2] == await till.cut(group, "#1+#2+#4")
    assert before == await dump(till.redis, till.shard)
    assert "ITEM_CANCELLED" == (await till.cut(group, "1:2"))[0]
    assert ["BELOW_MINIMUM", 2, 1] == await till.cut(group, "1:1", version=2)
    assert "ITEM_CANCELLED" == (await till.cut(group, "1:2", version=2))[0]
    assert "CANCELLED" == (await till.cut(group, "2:1", version=3))[0]
    await check_folded(till)


async def test_ticket_by_name(till: Till, booking: Command) -> None:
    """The ticket that is named goes, and no other; record and row say which."""
    status, _, seq, at_ms, _ = await till.cut(booking, "#1")
    assert ("ITEM_CANCELLED", "3") == (status, seq)
    assert [False, True, True] == await passing(till, booking, 3)
    record = await last(till)
    assert isinstance(record, ItemCancelled)
    assert ([1], [Item(1, 1, 2500)]) == (record.tickets, record.items)
    row = await till.row(booking)
    assert row.startswith("=2 confirmed 2 ")
    assert row.endswith(f" 1:1:2500,2:1:9900/1x2x2500,2x1x9900/1-3-{at_ms}-1x1x2500#1")
    await check_folded(till)


async def test_name_replays(till: Till, booking: Command) -> None:
    """The same tickets at the same version give the reply again; others are VERSION_CHANGED."""
    _, *place, _ = await till.cut(booking, "#3+#1")
    before = await dump(till.redis, till.shard)
    for same in ("#1+#3", "#3+#1", "1:1,2:1"):
        assert ["REPLAYED", *map(str, place)] == await till.cut(booking, same)
    for other in ("#1", "#2", "#1+#2", "#1+#3+#2", "1:1", "s1-1"):
        assert ["VERSION_CHANGED", 2] == await till.cut(booking, other)
    assert before == await dump(till.redis, till.shard)
    assert ["NOT_IN_BOOKING", 1] == await till.cut(booking, "#1", version=2)
    assert ["NOT_IN_BOOKING", 2] == await till.cut(booking, "#2+#4", version=2)
    status, *end, _ = await till.cut(booking, "#2", version=2)
    assert "CANCELLED" == status
    assert ["REPLAYED", *map(str, end)] == await till.cut(booking, "#2", version=2)
    assert ["REPLAYED", *map(str, place)] == await till.cut(booking, "#1+#3")
    assert ["VERSION_CHANGED", 3] == await till.cut(booking, "#1+#3", version=2)
    await check_folded(till)


async def test_number_spares_a_friend(till: Till, booking: Command) -> None:
    """By quantity the buyer's own ticket goes, though the friend's is the last of the tier."""
    friend = new_id("usr")
    await till.transfer(booking, friend, 2)
    assert "ITEM_CANCELLED" == (await till.cut(booking, "1:1"))[0]
    assert [False, True, True] == await passing(till, booking, 3)
    assert "CHECKED_IN" == (await till.checkin(booking, 2, version=2))[0]
    await check_folded(till)


async def test_number_finds_one_that_is_not_used(till: Till, booking: Command) -> None:
    """By quantity another ticket goes where the last is used; where none is left, it says so."""
    await till.checkin(booking, 2)
    assert "ITEM_CANCELLED" == (await till.cut(booking, "1:1"))[0]
    assert "ALREADY_CHECKED_IN" == (await till.cut(booking, "1:1", version=2))[0]
    await check_folded(till)


async def test_ticket_that_was_given_away_is_its_holders(till: Till, booking: Command) -> None:
    """The buyer cannot cancel it, in whole or in part; once it is given back, they can."""
    friend = new_id("usr")
    await till.transfer(booking, friend, 2)
    before = await dump(till.redis, till.shard)
    refused = ["TICKET_TRANSFERRED", ticket_id(till.booking(booking), 2)]
    assert [refused] == await till.cancel(booking)
    assert refused == await till.cut(booking, "#2")
    assert refused == await till.cut(booking, "1:2")
    assert [["NOT_FOUND"]] == await till.cancel(booking, user_id=friend)
    assert before == await dump(till.redis, till.shard)
    back = await till.transfer(booking, booking.user_id, 2, user_id=friend)
    assert "TRANSFERRED" == back[0]
    again = await till.transfer(booking, booking.user_id, 2, user_id=friend)
    assert ["REPLAYED", *map(str, back[1:4]), back[4]] == again
    assert "CANCELLED" == (await till.cancel(booking))[0][0]
    await check_folded(till)


async def test_inside_is_told_before_given_away(till: Till, booking: Command) -> None:
    """Of one that is used and one that is a friend's, the used one is the reason."""
    await till.checkin(booking, 1)
    await till.transfer(booking, new_id("usr"), 2)
    assert "ALREADY_CHECKED_IN" == (await till.cancel(booking))[0][0]
    assert "ALREADY_CHECKED_IN" == (await till.cut(booking, "1:2"))[0]
    assert "TICKET_TRANSFERRED" == (await till.cut(booking, "1:1"))[0]


async def test_policy_buyer(till: Till, booking: Command) -> None:
    """Where the rule says so the buyer may still cancel it, and who had it stands in the record."""
    friend = new_id("usr")
    await till.set_stock({"transfers": "buyer"})
    await till.transfer(booking, friend, 2)
    # A number never means a ticket that somebody else has.
    assert "TICKET_TRANSFERRED" == (await till.cut(booking, "1:2"))[0]
    assert "ITEM_CANCELLED" == (await till.cut(booking, "#2"))[0]
    record = await last(till)
    assert isinstance(record, ItemCancelled)
    assert [Holder(2, friend)] == record.holders
    await till.transfer(booking, friend, 3)
    assert "CANCELLED" == (await till.cancel(booking))[0][0]
    assert [Holder(3, friend)] == (await last(till)).holders
    await check_folded(till)


async def test_policy_none(till: Till, booking: Command) -> None:
    """Where the rule says so nothing is given away, but what was goes back."""
    friend, other = new_id("usr"), new_id("usr")
    await till.transfer(booking, friend, 2)
    await till.set_stock({"transfers": "none"})
    before = await dump(till.redis, till.shard)
    assert ["NO_TRANSFERS"] == await till.transfer(booking, friend, 1)
    assert ["NO_TRANSFERS"] == await till.transfer(booking, other, 2, user_id=friend)
    assert before == await dump(till.redis, till.shard)
    assert "TRANSFERRED" == (await till.transfer(booking, booking.user_id, 2, user_id=friend))[0]


@pytest.mark.parametrize("what", ["#", "#0", "#1+", "+#1", "#1+#1", "1+2", "#1,#2", "s1", "s1-0"])
async def test_badarg_names(till: Till, booking: Command, what: str) -> None:
    """F21: what no right caller sends is an error that changes nothing."""
    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.cut(booking, what)
    assert before == await dump(till.redis, till.shard)


async def test_version_1_takes_the_last(old_till: Till) -> None:
    """In a reign of version 1 the last tickets go or none do, and nothing of version 2 is said."""
    till, friend = old_till, new_id("usr")
    await till.publish()
    command = Command(new_id("usr"), (1, 3), (2, 1))
    await till.book(command)
    assert ["NOT_UPGRADED"] == await till.cut(command, "#1")
    assert ["NOT_UPGRADED"] == await till.cut(command, "#4+#2")
    assert "ITEM_CANCELLED" == (await till.cut(command, "#3"))[0]
    assert [True, True, False, True] == await passing(till, command, 4)
    record = await last(till)
    assert (1, []) == (record.version, record.tickets)
    assert (await till.row(command)).startswith("confirmed 2 ")
    assert "REPLAYED" == (await till.cut(command, "#3"))[0]
    await till.transfer(command, friend, 2)
    assert "TICKET_TRANSFERRED" == (await till.cut(command, "1:1", version=2))[0]
    assert "TICKET_TRANSFERRED" == (await till.cancel(command))[0][0]
    await till.transfer(command, command.user_id, 2, user_id=friend)
    await till.checkin(command, 2, version=3)
    assert "ALREADY_CHECKED_IN" == (await till.cut(command, "1:1", version=2))[0]
    assert "ALREADY_CHECKED_IN" == (await till.cancel(command))[0][0]
    await check_folded(till)


async def test_cuts_of_both_versions(old_till: Till) -> None:
    """What version 1 took stays taken when version 2 names tickets, and the other way round."""
    till, nonce = old_till, f"new-{old_till.shard}"
    await till.publish()
    command = Command(new_id("usr"), (1, 4), (2, 1))
    await till.book(command)
    await till.cut(command, "1:1")
    for name in scripts.NAMES:
        await ask(till.redis, "SCRIPT LOAD", scripts.render(name, nonce))
    new = Till(till.redis, Reign(shard=till.shard, epoch=1, script_shas=scripts.shas(nonce)))
    new.event = till.event
    assert "ITEM_CANCELLED" == (await new.cut(command, "#2", version=2))[0]
    assert ["VERSION_CHANGED", 3] == await new.cut(command, "#1")
    assert "REPLAYED" == (await new.cut(command, "#4"))[0]
    assert [True, False, True, False, True] == await passing(new, command, 5)
    # An operator may lower the version again.
    assert "ITEM_CANCELLED" == (await till.cut(command, "1:1", version=3))[0]
    assert [True, False, False, False, True] == await passing(new, command, 5)
    assert (await till.row(command)).startswith("=2 confirmed 4 ")
    assert "CANCELLED" == (await new.cancel(command))[0][0]
    await check_folded(new)


async def booked_seats(hall: Hall, user: str) -> str:
    """Book three seats and two general places; return the booking."""
    order = hall.order(user, (1, 3, "s1-2+s1-3+s1-4"), (2, 2))
    assert isinstance(await hall.engine.book(hall.shard, order), Booked)
    return order.id


async def test_one_of_three_seats(hall: Hall, user: str) -> None:
    """A seat is given back by its id or its ticket's; it is free, and the others stay."""
    own = await booked_seats(hall, user)

    async def cut(version: int, *names: int | str, lines: Any = ()) -> Any:
        command = CancelItem(hall.event, own, user, version, lines, names)
        return await hall.engine.cancel_item(hall.shard, command)

    unnamed = await cut(1, lines=((1, 1),))
    assert Refused(Status.SEATS_NOT_NAMED, {"line": 1}) == unnamed
    assert isinstance(await cut(1, "s1-3"), Applied)
    await hall.check()
    assert "fsfsf/fffff" == (await hall.statuses())[0]
    assert Refused(Status.NOT_IN_BOOKING, {"line": 1}) == await cut(2, "s1-3")
    assert Refused(Status.NOT_IN_BOOKING, {"line": 2}) == await cut(2, "s1-2", 1)
    other = await hall.book(new_id("usr"), (1, 1, "s1-3"))
    assert isinstance(other, Booked)
    assert isinstance(await cut(2, 1, 5), Applied)
    assert "ffsss/fffff"[0:2] == (await hall.statuses())[0][0:2]
    await hall.check()
    record = (await journal(hall.redis, hall.shard))[-1].record
    assert isinstance(record, ItemCancelled)
    assert [Item(1, 1, 2500, ("s1-2",)), Item(2, 1, 2500)] == record.items
    assert [Item(1, 1, 2500, ("s1-4",)), Item(2, 1, 2500)] == record.left
    scan = Scan(hall.event, own, 2, 1, "n", user)
    assert Refused(Status.TICKET_CANCELLED, {}) == await hall.engine.checkin(hall.shard, scan)
    # All that is left of the tier needs no names.
    assert isinstance(await cut(3, lines=((1, 1),)), Applied)
    await hall.check()
    give = Transfer(hall.event, own, 4, user, new_id("usr"))
    assert isinstance(await hall.engine.transfer(hall.shard, give), Applied)
    assert Status.TICKET_TRANSFERRED is (await cut(4, lines=((2, 1),))).status
    await hall.check()
