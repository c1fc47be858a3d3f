"""`repair`: nothing before the fence, each cure the right one, and `check` is clean afterwards."""

from __future__ import annotations

import asyncio
import json

import pytest
from redis.exceptions import ResponseError
from typer.testing import CliRunner

from engine import keys
from engine.commands import Order
from engine.ids import new_id
from engine.outcomes import Held
from evently.cli import app as evently
from reconciler.commands import repair as commands_repair
from reconciler.event.image import Change
from reconciler.recover.coordinator import open_again
from reconciler.repair.plan import WHY_NOT_ELSE
from reconciler.repair.repairer import Outcome, put_right, run
from store import reigns
from tests.checks import ask, members_of, snapshot
from tests.reconciler.conftest import DETAIL, BoxOffice, Sold
from tests.reconciler.plants import DRIFTS, OF_NOBODY, Plant, stock
from tests.reconciler.test_cli import environment
from tests.reconciler.test_cli import run as run_command

BACKLOG_MAX = 1_000_000


@pytest.fixture
async def sold(sold: Sold) -> Sold:
    """Return the sale on a shard whose keys have the layout that a coordinator looks for."""
    meta = keys.meta(sold.office.shard)
    await ask(sold.office.redis, "HSET", meta, "layout", keys.LAYOUT_VERSION)
    return sold


async def repair(office: BoxOffice, *, applies: bool = True, rewinds: bool = False) -> Outcome:
    """Run the command's work on the office's shard."""
    [outcome] = await run(
        office.servers, only=office.shard, applies=applies, rewinds=rewinds, open_shard=open_again
    )
    return outcome


def codes(outcome: Outcome) -> set[str]:
    """Return what the plan's actions are for."""
    return {v.code for action in outcome.plan.actions for v in action.violations}


MENDED = OF_NOBODY | {
    name: (drift.plant, drift.named[0].code) for name, drift in DRIFTS.items() if drift.is_repaired
}


@pytest.mark.parametrize("drift", MENDED.values(), ids=MENDED.keys())
async def test_each_drift_is_put_right(sold: Sold, drift: tuple[Plant, str]) -> None:
    """A planted drift is planned, changed by `--apply`, and the shard opens clean."""
    office, (make, code) = sold.office, drift
    await make(sold)

    dry = await repair(office, applies=False)
    assert [] == dry.errors
    assert code in codes(dry) | {v.code for v, _ in dry.plan.hopeless}
    # Nothing is put before people that the repair then does.
    assert [] == [v.code for v, why in dry.plan.hopeless if why == WHY_NOT_ELSE]
    assert code in await sold.found()

    outcome = await repair(office)
    assert ([], []) == (outcome.left, outcome.errors)
    assert code in codes(outcome)
    assert [] == outcome.plan.hopeless
    assert outcome.epoch is not None
    assert {} == await sold.found()


async def test_dry_run_changes_nothing(sold: Sold) -> None:
    """Without `--apply` both stores are as they were, and the shard stays open."""
    office = sold.office
    await stock("1.available", 3)(sold)
    before = await snapshot(office.redis, office.shard)
    code, text = await run_command(office, "repair", "--json", "--shard", str(office.shard))
    document = json.loads(text)
    assert (1, False) == (code, document["applied"])
    [action] = document["shards"][0]["actions"]
    assert ["stock 1.available: 1997 -> 1994"] == action["effects"]
    assert before == await snapshot(office.redis, office.shard)
    reign = await reigns.read(office.database, office.shard)
    assert reign is not None
    assert (1, "open") == (reign.epoch, reign.state)


async def test_clean_shard_is_not_shut(sold: Sold) -> None:
    """Where nothing is wrong, `--apply` shuts nobody out: the shard keeps its epoch."""
    outcome = await repair(sold.office)
    assert ([], [], False, 1) == (
        outcome.plan.violations,
        outcome.errors,
        outcome.is_applied,
        outcome.epoch,
    )
    door = await ask(sold.office.redis, "HMGET", keys.meta(sold.office.shard), "epoch", "state")
    assert [b"1", b"open"] == door


async def test_f40_refuses_without_the_fence(sold: Sold) -> None:
    """F40: while another coordinator has the shard, nothing is repaired."""
    office = sold.office
    await stock("1.available", 3)(sold)
    await office.database.execute(
        "UPDATE shard_epoch SET state = 'recovering', lease_until = now() + interval '1 hour'"
        " WHERE shard = $1",
        office.shard,
    )
    before = await snapshot(office.redis, office.shard)
    outcome = await repair(office)
    assert "another coordinator has shard" in outcome.errors[0]
    assert before == await snapshot(office.redis, office.shard)


async def test_f40_f41_script_refuses_an_open_shard(sold: Sold) -> None:
    """F40, F41: the script itself writes nothing unless the shard is shut under its own claim."""
    office = sold.office
    change = Change("stock", "1.available", "1994", "1")
    meta = keys.meta(office.shard)

    async def try_it(*changes: Change) -> int:
        return await put_right(office.redis, office.shard, 7, sold.event.event_id, changes)

    await ask(office.redis, "HSET", meta, "claim", 7)
    with pytest.raises(ResponseError, match="FENCED 7 open"):
        await try_it(change)
    await ask(office.redis, "HSET", meta, "state", "recovering", "claim", 8)
    with pytest.raises(ResponseError, match="FENCED 8 recovering"):
        await try_it(change)
    await ask(office.redis, "HSET", meta, "claim", 7)
    before = await snapshot(office.redis, office.shard)
    with pytest.raises(ResponseError, match="CHANGED stock"):
        await try_it(change, Change("stock", "1.available", "1", "2"))
    assert before == await snapshot(office.redis, office.shard)
    assert 1 == await try_it(change)
    assert 0 == await try_it(change)


async def test_endless_hold_gets_its_deadline(sold: Sold) -> None:
    """A hold that would never end gets the deadline that its own row says."""
    office = sold.office
    outcome = await office.engine.hold(
        office.shard,
        Order(sold.event.event_id, new_id("hold"), sold.users[0], "p", DETAIL, ((1, 2),), 60_000),
    )
    assert isinstance(outcome, Held)
    names = keys.event(office.shard, sold.event.event_id)
    [hold_id] = await members_of(office.redis, names.deadlines)
    await ask(office.redis, "ZREM", names.deadlines, hold_id)
    await ask(office.redis, "DEL", keys.due(office.shard))
    assert {"hold_endless", "due_forgotten"} == set(await sold.found())
    assert (await repair(office)).epoch is not None
    score = await ask(office.redis, "ZSCORE", names.deadlines, hold_id)
    assert outcome.expires_at_ms == int(float(score))
    due = await ask(office.redis, "ZSCORE", keys.due(office.shard), sold.event.event_id)
    assert outcome.expires_at_ms >= int(float(due))
    assert {} == await sold.found()


async def phantom(sold: Sold) -> None:
    """Write a booking that no record made."""
    office = sold.office
    await office.database.execute(
        "INSERT INTO bookings (id, event_id, user_id, status, version, total_minor, shard, epoch,"
        " seq, created_at, fingerprint) VALUES ($1, $2, 'usr_x', 'confirmed', 1, 0, $3, 1, 1,"
        " now(), 'f')",
        "bk_" + sold.event.event_id[4:],
        sold.event.event_id,
        office.shard,
    )


async def door(office: BoxOffice) -> tuple[int, str]:
    """Return epoch and state of the shard."""
    reign = await reigns.read(office.database, office.shard)
    assert reign is not None
    return reign.epoch, reign.state


async def test_f69_nothing_to_do_shuts_nobody_out(sold: Sold) -> None:
    """A booking that nobody made is no program's to judge: it is told, and the shard sells on."""
    office = sold.office
    await phantom(sold)
    before = await snapshot(office.redis, office.shard)
    outcome = await repair(office)
    assert "row_without_record" in {v.code for v in outcome.plan.violations}
    assert (False, 1, []) == (outcome.is_applied, outcome.epoch, outcome.errors)
    assert "left open" in outcome.note
    assert (1, "open") == await door(office)
    assert before == await snapshot(office.redis, office.shard)
    code, text = await run_command(office, "repair", "--apply", "--shard", str(office.shard))
    assert 1 == code
    assert "nothing was changed: nothing here puts it right; the shard was left open" in text
    why = {v.code: why for v, why in outcome.plan.hopeless}
    assert "no record made it" in why["row_without_record"]
    # Counters are left alone: what they must be cannot be told.
    assert not any(action.verb == "set" for action in outcome.plan.actions)


async def test_what_cannot_be_repaired_stays_frozen(sold: Sold) -> None:
    """A shard that was frozen is not opened over what nothing puts right."""
    office = sold.office
    await phantom(sold)
    await office.database.execute(
        "UPDATE shard_epoch SET state = 'frozen' WHERE shard = $1", office.shard
    )
    outcome = await repair(office)
    assert "row_without_record" in {v.code for v in outcome.left}
    assert outcome.epoch is None
    assert "frozen" == (await door(office))[1]
    reign = await reigns.read(office.database, office.shard)
    assert reign is not None
    assert reign.reason.startswith(f"{len(outcome.left)} violations are left, such as ")
    told = f"`reconciler repair --apply --shard {office.shard}` opens the shard"
    assert told in "\n".join(commands_repair.lines_of(outcome))
    shown = await asyncio.to_thread(
        CliRunner().invoke, evently, ["shards", "list"], env=environment(office)
    )
    [line] = [one for one in shown.stdout.splitlines() if f"shard {office.shard} is frozen" in one]
    assert reign.reason in line
    assert told in line


async def test_f69_what_was_lived_with_does_not_freeze(sold: Sold) -> None:
    """What can be done is done; what cannot was there before: the shard opens, and says so."""
    office = sold.office
    await phantom(sold)
    await office.database.execute(
        "UPDATE bookings SET total_minor = 7 WHERE id = $1", sold.bookings[0]
    )
    outcome = await repair(office)
    assert "row_without_record" in {v.code for v in outcome.left}
    assert (outcome.epoch, "open") == await door(office)
    assert "total_differs" not in await sold.found()


async def test_f69_holes_without_pg_shut_nobody_out(sold: Sold) -> None:
    """Records that Redis alone can tell of are asked for by name, with the door open."""
    office = sold.office
    await ask(office.redis, "XDEL", office.journal, "7-1")
    outcome = await repair(office)
    assert "use --pg; the shard was left open" in outcome.note
    assert (1, "open") == await door(office)


async def test_acknowledged_booking_without_record_is_not_sold_again(sold: Sold) -> None:
    """A record that vanished: the places of its booking are not given back to the counters."""
    office = sold.office
    await ask(office.redis, "XDEL", office.journal, "6-1")
    before = await ask(office.redis, "HGETALL", keys.event(office.shard, sold.event.event_id).stock)
    outcome = await repair(office)
    assert not outcome.is_applied
    assert before == await ask(
        office.redis, "HGETALL", keys.event(office.shard, sold.event.event_id).stock
    )
