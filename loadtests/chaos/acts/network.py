"""Faults of the network: what the proxies before each server can do to who speaks through them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loadtests.chaos.proxy import CALM, Proxy, Trouble
from loadtests.server import PROCESSES

if TYPE_CHECKING:
    from loadtests.chaos.nemesis import Fault, Nemesis

TROUBLES = ("black_hole", "swallow", "slow", "split", "reset", "cut")


async def network(nemesis: Nemesis, fault: Fault) -> None:
    """Make trouble between one kind of process and one server."""
    _, what, who, server = fault.name.split(" ")
    site = nemesis.site
    redis = site.redis_proxies[site.names[fault.number % len(site.names)]]
    proxy = redis if server == "redis" else site.postgres_proxy
    name = PROCESSES[who]
    turn = nemesis.begin_turn(proxy)
    if what == "reset":
        nemesis.note(f"reset {proxy.reset(name)} links")
        return
    _make_trouble(proxy, what, name, fault.number)
    await asyncio.sleep(fault.duration_s)
    nemesis.end_turn(proxy, turn)


async def refuse(nemesis: Nemesis, fault: Fault) -> None:
    """Let nobody in to PostgreSQL for a while, and throw out who is in."""
    proxy = nemesis.site.postgres_proxy
    turn = nemesis.begin_turn(proxy)
    proxy.is_refusing = True
    proxy.reset()
    await asyncio.sleep(2 * fault.duration_s)
    nemesis.end_turn(proxy, turn)


def _make_trouble(proxy: Proxy, what: str, who: str, number: int) -> None:
    """Switch a proxy to the trouble of that name."""
    bad = Trouble(who=who)
    match what:
        case "black_hole":
            bad = Trouble(who=who, is_black_hole=True)
            # Either way, or both: what is lost is the request, or the reply.
            proxy.trouble(
                request=bad if number % 3 != 1 else CALM, reply=bad if number % 3 != 0 else CALM
            )
        case "swallow":
            proxy.trouble(reply=Trouble(who=who, is_swallowing=True))
        case "slow":
            proxy.trouble(
                request=Trouble(who=who, delay_s=0.001 + number % 100 / 1000),
                reply=Trouble(who=who, bytes_per_s=50_000),
            )
        case "split":
            bad = Trouble(who=who, split_bytes=1 + number % 40)
            proxy.trouble(request=bad, reply=bad)
        case "cut":
            bad = Trouble(who=who, cut_after_bytes=number % 20_000)
            proxy.trouble(**{"request" if number % 2 else "reply": bad})  # type: ignore[arg-type]
        case "cut_before_commit" | "cut_after_commit":
            proxy.trouble(
                request=Trouble(
                    who=who, cut_at=b"COMMIT;", cut_delivers=what == "cut_after_commit"
                ),
                cuts=1 + number % 3,
            )
        case _:
            raise ValueError(f"no such trouble: {what}")
