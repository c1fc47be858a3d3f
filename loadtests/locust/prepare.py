"""
`python -m loadtests.locust.prepare FOLDER`: make what a run of Locust needs, before it begins.

Reads the run's order from the folder; leaves an event on sale for each scenario and a pool of seed
accounts with their tokens, in the order that the seed gives them. A process of its own: Locust's
is full of green threads, in which asyncio has no place.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import uvloop

from evently.settings import Settings
from loadtests.backstage import Backstage
from loadtests.events import make_event
from loadtests.locust.plan import (
    PEOPLE_FILE,
    PLAN_FILE,
    SCENARIOS,
    Order,
    Plan,
    Stage,
    capacity_of,
    read_order,
    write,
)

#: Offers that nobody answers must run out while the crowd is there.
OFFER_TTL_S = 5


async def prepare(folder: Path, order: Order, settings: Settings) -> Plan:
    """Make accounts, tokens and events; write people and plan into *folder*."""
    stages = {}
    async with Backstage(settings) as backstage:
        people = await backstage.people(order.users)
        admin = await backstage.admin_token()
        for name in order.scenarios:
            scenario = SCENARIOS[name]
            capacity = capacity_of(scenario, users=order.users, asked=order.capacity)
            event = await make_event(
                order.base_url,
                admin,
                capacity=capacity,
                is_stadium=scenario.is_seated,
                offer_ttl_s=OFFER_TTL_S,
            )
            stages[name] = Stage(
                event_id=event["id"],
                tier_ids=[tier["id"] for tier in event["tiers"]],
                capacity=capacity,
            )
    random.Random(order.seed).shuffle(people)
    path = folder / PEOPLE_FILE
    path.touch(mode=0o600)
    path.write_text("".join(f"{user_id} {token}\n" for user_id, token in people))
    plan = Plan(order=order, stages=stages)
    write(folder, PLAN_FILE, plan)
    return plan


def main() -> None:
    """Read the order, prepare."""
    folder = Path(sys.argv[1])
    uvloop.run(
        prepare(
            folder,
            read_order(folder),
            Settings.load_or_exit("prepare", "jwt_secret", "database_url"),
        )
    )


if __name__ == "__main__":
    main()
