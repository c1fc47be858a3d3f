"""Complaint 11: an organizer can ask why nobody, or why somebody, was promoted."""

from __future__ import annotations

import pytest

from engine.commands import Join, Own, TierStock
from engine.emptier import Emptier
from engine.ids import entry_id, new_id, offer_of_entry
from engine.outcomes import Applied
from engine.records import Left, Released
from reconciler.event.derive import derive
from reconciler.event.snapshot import read_quiet
from reconciler.tell.waitlist import explain_waitlist
from tests.reconciler import conftest
from tests.reconciler.conftest import BoxOffice
from tests.reconciler.test_cli import run


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let events have few places, so that people must wait."""
    monkeypatch.setattr(conftest, "TIERS", (TierStock(4, 2500, 10), TierStock(1, 9900, 10)))


class Scene:
    """A sold-out event and those who wait for it."""

    def __init__(self, office: BoxOffice, event_id: str, policy: str) -> None:
        self.office = office
        self.event_id = event_id
        self.policy = policy
        self.users: dict[str, str] = {}

    async def join(self, quantity: int, tier_no: int = 1, user_id: str = "") -> str:
        """Let somebody join; return the entry."""
        user_id = user_id or new_id("usr")
        own_id = entry_id(event_id=self.event_id, user_id=user_id, idempotency_key=f"{tier_no}")
        self.users[own_id] = user_id
        command = Join(
            self.event_id, own_id, user_id, "f", tier_no, quantity, self.policy, 10**6, 10**6, 100
        )
        assert isinstance(await self.office.engine.join(self.office.shard, command), Applied)
        return own_id

    async def explain(self, own_id: str | None = None) -> list[str]:
        """Ask for the story."""
        return await explain_waitlist(self.office.servers, self.event_id, own_id)


async def scene(office: BoxOffice, policy: str) -> tuple[Scene, list[tuple[str, str]]]:
    """Sell four single places."""
    event_id = (await office.add_event()).event_id
    made = Scene(office, event_id, policy)
    users = [new_id("usr") for _ in range(4)]
    sold = [(user, await office.book(event_id, user, "a", (1, 1))) for user in users]
    return made, sold


async def test_complaint_11_why_nobody_was_promoted(office: BoxOffice) -> None:
    """Complaint 11: under `strict` the story names the head, what it needs, and what is free."""
    made, sold = await scene(office, "strict")
    group, single = await made.join(3), await made.join(1)
    assert "no place is free" in (await made.explain(single))[-1]
    await office.cancel(made.event_id, *sold[0])
    await office.drain()
    await office.cancel(made.event_id, *sold[1])
    story = await made.explain()
    texts = [line.split("  tier 1  ")[-1] for line in story]
    expected = [
        f"{group} joined for 3 places as number 1 (policy strict)",
        f"{single} joined for 1 place as number 2 (policy strict)",
        f"{sold[0][1]} was cancelled: 1 place returned, 1 free",
        f"{group} heads the list and needs 3 places, 1 free: the list waits for it "
        "(policy strict), at most 1000 s",
        f"{sold[1][1]} was cancelled: 1 place returned, 2 free",
        f"Tier 1: 2 wait, 2 free. {group} is number 1 and waits: it needs 3 places, 2 free; "
        "it may be passed 1000 s after it stopped the list.",
    ]
    assert expected == texts
    verdict = (await made.explain(single))[-1]
    assert f"the head {group} needs 3 places, 2 free" in verdict


async def test_complaint_11_why_somebody_was_promoted(office: BoxOffice) -> None:
    """Complaint 11: under `skip` the story of the one passed says who passed it and why."""
    made, sold = await scene(office, "skip")
    group, single = await made.join(2), await made.join(1)
    await office.cancel(made.event_id, *sold[0])
    story = await made.explain(group)
    assert f"{single} was offered 1 place of 1 (freed by record" in story[-2]
    assert f"it passed {group}, who need more (policy skip)" in story[-2]
    own = Own(made.event_id, offer_of_entry(single), made.users[single])
    await office.engine.confirm(office.shard, own)
    assert [f"{single} is accepted."] == (await made.explain(single))[-1:]
    assert "accepted its offer" in (await made.explain(single))[-2]


async def test_why_somebody_was_passed_over_for_an_offer(
    office: BoxOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has an offer elsewhere and may have no more is passed over, and the story says so."""
    monkeypatch.setattr(conftest, "PERSON_MAX", 1)
    made, sold = await scene(office, "strict")
    last = new_id("usr")
    dear = await office.book(made.event_id, last, "a", (2, 1))
    here = await made.join(1)
    there = await made.join(1, 2, made.users[here])
    behind = await made.join(1, 2)
    await office.cancel(made.event_id, *sold[0])
    await office.cancel(made.event_id, last, dear)
    story = await made.explain(behind)
    assert f"it headed the list; {there} may have no more places" in story[-2]
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)
    await office.engine.release(
        office.shard, Own(made.event_id, offer_of_entry(behind), made.users[behind])
    )
    verdict = (await made.explain(there))[-1]
    assert "an offer or a hold that is not decided" in verdict
    own = Own(made.event_id, offer_of_entry(here), made.users[here])
    await office.engine.confirm(office.shard, own)
    assert "as many places as one may have" in (await made.explain(there))[-2]
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


async def test_what_redis_alone_has_of_ends_is_told_in_full(office: BoxOffice) -> None:
    """What entries say of how they ended becomes records that say the same, of version 2."""
    made, sold = await scene(office, "strict")
    offered, waiting = await made.join(1), await made.join(1)
    await office.cancel(made.event_id, *sold[0])
    await office.engine.cancel_event(office.shard, made.event_id)
    await Emptier(office.engine.shards[office.shard]).empty(made.event_id)
    remains = await read_quiet(office.redis, office.shard, made.event_id)
    found = [one.record for one in derive(remains, None, {}, ())]
    [left] = [one for one in found if isinstance(one, Left)]
    assert (waiting, "event_cancelled", 2) == (left.entry_id, left.why, left.version)
    ends = [one for one in found if isinstance(one, Released)]
    assert {(offer_of_entry(offered), "event_cancelled", 2)} == {
        (one.hold_id, one.reason, one.version) for one in ends
    }
    await office.drain_all()
    result = await office.check()
    assert ([], []) == (result.violations, result.errors)


async def test_the_story_names_no_person(office: BoxOffice) -> None:
    """People are named by their entries, so that the story may be shown to anyone."""
    made, sold = await scene(office, "strict")
    own_id = await made.join(1)
    await office.cancel(made.event_id, *sold[0])
    await office.engine.leave(office.shard, Own(made.event_id, own_id, made.users[own_id]))
    story = "\n".join(await made.explain())
    assert "usr_" not in story
    assert f"offer_{own_id[3:]} was given back" in story
    assert story.endswith("Nobody waits.")


async def test_unknown_event(office: BoxOffice) -> None:
    """An event that is not there has no story."""
    made = Scene(office, new_id("evt"), "strict")
    with pytest.raises(LookupError):
        await made.explain()


async def test_command(office: BoxOffice) -> None:
    """The command prints the story, and refuses an event that is not there."""
    made, sold = await scene(office, "strict")
    own_id = await made.join(1)
    await office.cancel(made.event_id, *sold[0])
    code, text = await run(office, "explain", "waitlist", made.event_id, own_id)
    assert (0, f"{own_id} is offered.") == (code, text.splitlines()[-1])
    code, _ = await run(office, "explain", "waitlist", new_id("evt"))
    assert 2 == code
