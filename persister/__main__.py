"""`python -m persister --shard N`: persist one shard's journal until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

from engine import porter
from engine.redis_client import connect
from engine.spans import SpanTeller
from evently.logs import configure
from evently.settings import Settings
from evently.telemetry import telling
from persister.persister import Options, Persister, calm_collector


async def serve(settings: Settings, shard: int, spans: SpanTeller | None) -> None:
    """Run the persister of *shard* until SIGTERM or SIGINT."""
    clients = {
        name: connect(url, timeout_ms=None, connections_max=2)
        for name, url in settings.redis_servers_as("persister").items()
    }
    for client in clients.values():
        porter.post(client, level=settings.durability)
    persister = Persister(
        clients,
        settings.database_url_as("persister"),
        Options(
            shard=shard,
            records_max=settings.persist_records_max,
            interval_ms=settings.persist_interval_ms,
            retention_s=settings.journal_retention_s,
            database_timeout_ms=settings.database_timeout_ms,
            spans=spans,
        ),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, persister.stop)
    try:
        await persister.run()
    finally:
        for client in clients.values():
            await client.aclose()


def main() -> None:
    """Read the arguments and the settings, and serve."""
    parser = argparse.ArgumentParser(prog="persister", description=__doc__)
    parser.add_argument("--shard", type=int, default=0, help="number of the shard (0)")
    arguments = parser.parse_args()
    settings = Settings.load_or_exit("persister", "redis_url", "database_url")
    name = f"persister-{arguments.shard}"
    configure(settings.log_level, name)
    calm_collector()
    with telling(name) as spans:
        uvloop.run(serve(settings, arguments.shard, spans))


if __name__ == "__main__":
    main()
