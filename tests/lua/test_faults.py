"""
What no script may do whatever it finds (F22), and how much it may be asked at once (F21).

Every script is called on an event in which every key matters (`tests.lua.stage`), with each of its
keys replaced in turn by one of the wrong type.
"""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from engine import keys
from engine.calls import call_of
from engine.scripts import NAMES
from engine.verbs import VERBS
from tests.checks import FAR_MS, ask, lines
from tests.lua.stage import CODE, FORGET_MS, Call, Stage
from tests.lua.world import Till, dump

#: Calls by what they are about, the script's name first, and how many keys each has.
CALLS = {
    about: len((*keys_of.before, *keys_of.of_event, *keys_of.after))
    for about in (*VERBS, "confirm offer", "confirm late", "leave offer", "checkin late")
    for keys_of in (VERBS[about.partition(" ")[0]].keys,)
}


@pytest.fixture
async def stage(till: Till) -> Stage:
    """Return the event in which every key matters."""
    stage = Stage(till)
    await stage.open()
    return stage


async def make(stage: Stage, name: str) -> Call:
    """Return a call; bring about what it needs."""
    calls = stage.calls()
    if name == "empty_event":
        await send(stage.till, calls["cancel_event"])
    return calls[name]


async def send(till: Till, call: Call) -> str:
    """Make a call; return its status, or that of its only command."""
    reply: Any = await till.call(call.script, call.names, *call.words)
    first = lines(reply)[0] if isinstance(reply, str) else reply[0]
    return str(first[0] if isinstance(first, list) else first)


def test_f22_all_scripts_are_called() -> None:
    """F22: no script is left out of these tests."""
    assert set(NAMES) == {name.partition(" ")[0] for name in CALLS}


@pytest.mark.parametrize("name", CALLS)
async def test_the_calls_go_through(stage: Stage, name: str) -> None:
    """Each call, if all keys are as they should be, does what it is for."""
    call = await make(stage, name)
    assert (call.status, CALLS[name]) == (await send(stage.till, call), len(call.names))


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, count in CALLS.items() for n in range(count)]
)
async def test_f22_wrong_type_keys_leave_state_unchanged(
    stage: Stage, name: str, number: int
) -> None:
    """F22: a key of the wrong type either does not matter, or the script fails before any write."""
    call, till = await make(stage, name), stage.till
    planted = call.names[number]
    # No script keeps a list, so that none can take this for its own.
    await ask(till.redis, "DEL", planted)
    await ask(till.redis, "RPUSH", planted, "planted")
    before = await dump(till.redis, till.shard)
    try:
        outcome = await send(till, call)
    except ResponseError as error:
        outcome = str(error)
    after = await dump(till.redis, till.shard)
    assert outcome == call.status or ("WRONGTYPE" in outcome and before == after)
    assert before[planted.encode()] == after[planted.encode()]


@pytest.mark.parametrize("verb", ["cancel", "release", "leave", "set_capacity", "amend", "expire"])
async def test_f22_f24_wrong_type_where_the_journal_is_full(stage: Stage, verb: str) -> None:
    """F22, F24: what frees places while the journal is full calls the sweeper, or does nothing."""
    call, till = await make(stage, verb), stage.till
    seq = int(await ask(till.redis, "HGET", till.meta, "seq"))
    await till.set_meta(backlog_max=seq + 1)
    due = keys.due(till.shard)
    await ask(till.redis, "DEL", due)
    await ask(till.redis, "RPUSH", due, "planted")
    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await send(till, call)
    assert before == await dump(till.redis, till.shard)


def largest(stage: Stage, verb: str, more: int) -> list[Any]:
    """Return the words of the largest legal request that is no batch, and *more* items."""
    till = stage.till
    match verb:
        case "expire":
            return [till.event, 1000 + more, FORGET_MS]
        case "block" | "unblock":
            return [till.event, *(f"s1-{n}" for n in range(8, 508 + more))]
        case "empty_event":
            return [till.event, *(stage.id("bk", str(n)) for n in range(100 + more))]
        case "amend":
            tiers = ",".join(f"{n}:9:-:-:-:-:-:-:-:-" for n in range(1, 101 + more))
            return [till.event, "-", tiers, "-", "[]", "-"]
        case "set_capacity":
            return [till.event, 1, ",".join(f"{n}:9" for n in range(1, 101 + more))]
        case "cancel_item":
            cut = ",".join(f"{n}:1" for n in range(1, 11 + more))
            return [till.event, 1, stage.id("bk", "b1"), stage.users["b"], 1, cut]
        case "seat":
            return [1, 1, f"1000,{1000 + more}", ""]
        case "book" | "hold":
            order = [(n, 1) for n in range(1, 11 + more)]
            return call_of(VERBS[verb], 0, 1, [stage.order(f"{verb[0]}9", "f", *order)]).words
    raise AssertionError(verb)


LARGEST = {
    "expire": "SWEPT",
    "block": "UNKNOWN_SEAT",
    "unblock": "UNKNOWN_SEAT",
    "empty_event": "EMPTIED",
    "amend": "TIER_HAS_SEATS",
    "set_capacity": "TIER_HAS_SEATS",
    "cancel_item": "NOT_IN_BOOKING",
    "seat": "SEATED",
    "book": "UNKNOWN_TIER",
    "hold": "UNKNOWN_TIER",
}


@pytest.mark.parametrize("verb", LARGEST)
async def test_f21_one_item_more_is_refused(stage: Stage, verb: str) -> None:
    """F21: the largest request of its kind is answered, and with one item more it is an error."""
    call, till = await make(stage, verb), stage.till
    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await send(till, call._replace(words=(till.epoch, *largest(stage, verb, 1))))
    assert before == await dump(till.redis, till.shard)
    status = await send(till, call._replace(words=(till.epoch, *largest(stage, verb, 0))))
    assert LARGEST[verb] == status


@pytest.mark.parametrize(
    "verb", [verb.name for verb in VERBS.values() if verb.form in ("orders", "rows")]
)
async def test_f21_one_command_more_is_refused(stage: Stage, verb: str) -> None:
    """F21: 128 commands in one call are answered, each; 129 are an error that changes nothing."""
    call, till = stage.calls()[verb], stage.till

    def words(count: int) -> list[Any]:
        columns = verb in {"book", "hold"}
        return stage.orders(verb, count) if columns else list(call.words[2:] * count)

    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await till.call(verb, call.names, till.epoch, till.event, *words(129))
    assert before == await dump(till.redis, till.shard)
    reply = await till.call(verb, call.names, till.epoch, till.event, *words(128))
    replies = lines(reply) if isinstance(reply, str) else reply
    assert (128, call.status) == (len(replies), replies[0][0])
    assert call.status not in {reply[0] for reply in replies[1:]}


@pytest.mark.parametrize(
    ("tiers", "sections", "codes"), [(101, 0, 1), (100, 201, 1), (100, 0, 101)], ids=str
)
async def test_f21_publish_is_bounded(till: Till, tiers: int, sections: int, codes: int) -> None:
    """F21: one tier, section or promo code more than an event may have is an error."""
    own = keys.event(till.shard, till.event)
    names = [till.meta, till.journal, keys.events(till.shard), *own]

    async def publish(tiers: int, sections: int, codes: int) -> Any:
        promos = ",".join(f"{CODE}{n}:1:1:0:" for n in range(codes))
        words = [till.event, "p", 0, FAR_MS, 9, tiers, *[5, 100, 10] * tiers, sections]
        rules = [word for n in range(1, min(tiers, 100) + 1) for word in (n, 1, 1, 0, 0, 0)]
        return await till.call("publish", names, till.epoch, *words, *rules, promos)

    before = await dump(till.redis, till.shard)
    with pytest.raises(ResponseError, match="BADARG"):
        await publish(tiers, sections, codes)
    assert before == await dump(till.redis, till.shard)
    assert "PUBLISHED" == (await publish(100, 0, 100))[0]


async def test_f21_largest_publish_with_seats(till: Till) -> None:
    """F21: an event of 200 sections is loaded; its map is read in one call, and so is a change."""
    own = keys.event(till.shard, till.event)
    for number in range(1, 201):
        await till.call("seat", [till.meta, own.stock, own.seats], till.epoch, number, 1, "9", "")
    names = [till.meta, till.journal, keys.events(till.shard), *own]
    await till.call(
        "publish",
        names,
        till.epoch,
        till.event,
        "p",
        0,
        FAR_MS,
        9,
        1,
        1800,
        100,
        10,
        200,
        1,
        0,
        0,
        0,
        0,
        1,
        f"{CODE}:1:0:0:1",
    )
    read = [till.meta, own.seats, own.stock, own.promos]
    assert ["f" * 9] * 200 == (await till.call("seats", read, till.epoch, -1, CODE))[3:]
    assert [""] * 200 == (await till.call("seats", read, till.epoch, -1, ""))[3:]
