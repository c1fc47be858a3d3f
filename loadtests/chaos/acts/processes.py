"""Faults of processes: killed, frozen, asked to end, or run twice."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from evently.embedded import process as processes
from loadtests import harm
from loadtests.server import send

if TYPE_CHECKING:
    from loadtests.chaos.nemesis import Fault, Nemesis

DEATHS = 5
#: Time in which a shard is waited for after a death, before the next.
OPEN_TIMEOUT_S = 20.0
OPEN_POLL_S = 0.05
#: Pause between a shard that is open again and the next death.
BETWEEN_DEATHS_S = 1.0
#: How long recovery is waited for that is to lose its coordinator.
RECOVERY_TIMEOUT_S = 10.0
RECOVERY_POLL_S = 0.005
#: Longer than a recovery waits for what workers remember.
LONG_SLEEP_S = 8.0
CUT_BYTES_MAX = 20_000
_RECOVERING = "SELECT count(*) FROM shard_epoch WHERE state = 'recovering'"


async def kill(nemesis: Nemesis, fault: Fault) -> None:
    """Kill one process, without a word."""
    hit = nemesis.site.send(fault.target, signal.SIGKILL, index=fault.number)
    nemesis.note(f"killed {hit}")


async def kill_mail(nemesis: Nemesis, fault: Fault) -> None:
    """Kill the mail server, and start it again after a while (F44)."""
    mail = nemesis.site.mail
    assert mail is not None, "the round has one"
    await mail.kill()
    await asyncio.sleep(fault.duration_s)
    await mail.start()


async def kill_postgres(nemesis: Nemesis, _: Fault) -> None:
    """Kill PostgreSQL with all its backends, as a power cut would."""
    with nemesis.site.server.supervisor_stopped():
        for number in (signal.SIGSTOP, signal.SIGKILL):
            nemesis.site.send("postgres", number)


async def kill_backend(nemesis: Nemesis, fault: Fault) -> None:
    """Kill one process of PostgreSQL, which then restarts all of them by itself."""
    nemesis.site.send("postgres", signal.SIGKILL, index=fault.number)


async def kill_supervisor(nemesis: Nemesis, _: Fault) -> None:
    """Kill the supervisor, with which all dies, and start it again."""
    server = nemesis.site.server
    if server.process is None or server.process.poll() is not None:
        return
    server.kill()
    await nemesis.start_supervisor()


async def kill_redis_often(nemesis: Nemesis, fault: Fault) -> None:
    """Kill Redis five times, each time as soon as it sells again, and note how long it did not."""
    site = nemesis.site
    for number in range(1, DEATHS + 1):
        site.send("redis", signal.SIGKILL, index=fault.number)
        shut_s = time.monotonic()
        wrong = "not asked"
        while wrong and time.monotonic() < shut_s + OPEN_TIMEOUT_S:
            await asyncio.sleep(OPEN_POLL_S)
            try:
                wrong = await site.shut_shards()
            except nemesis.away as error:
                wrong = str(error)
        nemesis.note(f"death {number}: shut for {time.monotonic() - shut_s:.2f} s {wrong}")
        await asyncio.sleep(BETWEEN_DEATHS_S)


async def kill_recovering(nemesis: Nemesis, fault: Fault) -> None:
    """Kill Redis, and the coordinator in mid-recovery, once or a few times (F41)."""
    site = nemesis.site
    site.send("redis", signal.SIGKILL, index=fault.number)
    for _ in range(1 + fault.number % 3):
        deadline_s = time.monotonic() + RECOVERY_TIMEOUT_S
        database = await site.database()
        try:
            while not await database.fetchval(_RECOVERING):
                if time.monotonic() > deadline_s:
                    return
                await asyncio.sleep(RECOVERY_POLL_S)
        finally:
            await database.close(timeout=5)
        await asyncio.sleep(fault.number % 100 / 500)
        nemesis.note(f"killed {site.send('coordinator', signal.SIGKILL)} in mid-recovery")


async def restart(nemesis: Nemesis, fault: Fault) -> None:
    """Ask one process to end; it is started again."""
    is_postgres = fault.target == "postgres"
    number = signal.SIGINT if is_postgres else signal.SIGTERM
    # The postmaster is the oldest.
    nemesis.site.send(fault.target, number, index=0 if is_postgres else fault.number)


async def retire_postgres(nemesis: Nemesis, _: Fault) -> None:
    """Ask PostgreSQL to end when its last client has left: it lets nobody in, and does not end."""
    nemesis.site.send("postgres", signal.SIGTERM, index=0)


async def stop(nemesis: Nemesis, fault: Fault) -> None:
    """Freeze all processes of a kind for a while: they come back as zombies of their time."""
    pids = nemesis.site.send(fault.target, signal.SIGSTOP)
    await asyncio.sleep(fault.duration_s)
    send(pids, signal.SIGCONT)


async def freeze_api(nemesis: Nemesis, fault: Fault) -> None:
    """Freeze the API, cut Redis's log meanwhile, and wake the one who remembers late (F5)."""
    site = nemesis.site
    pids = site.send("api", signal.SIGSTOP)
    try:
        name = site.names[fault.number % len(site.names)]
        with site.redis_down(name) as folder:
            log = harm.newest_log(folder)
            size = log.stat().st_size
            cut = min(size, 1 + fault.number % CUT_BYTES_MAX)
            os.truncate(log, size - cut)
        nemesis.note(f"cut {cut} of {size} bytes off {log.name} while the API sleeps")
        await asyncio.sleep(LONG_SLEEP_S)
    finally:
        send(pids, signal.SIGCONT)


async def double(nemesis: Nemesis, fault: Fault) -> None:
    """Run a second persister or coordinator beside the first (F27, F41)."""
    words = {
        "persister": ("persister", "--shard", "0"),
        "coordinator": ("reconciler", "recover", "--watch"),
    }[fault.target]
    extra = nemesis.spawn(*words)
    await asyncio.sleep(2 + fault.duration_s)  # Python takes its time to start.
    processes.kill(extra)


async def cut_database(nemesis: Nemesis, _: Fault) -> None:
    """Let PostgreSQL throw out all its clients."""
    await nemesis.site.cut_database()
