"""`python -m api`: serve HTTP; any number of such processes share the port."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from functools import partial

import msgspec
import uvloop

from api.admission import Work
from api.app import create_app
from api.files import connections_max, raise_file_limit
from api.lane import LaneRunner
from api.listener import LOOPBACK, Listener, listening
from api.streams import StreamBounds
from api.watch import Limits
from engine.outward import networks
from engine.spans import SpanTeller
from evently.logs import configure
from evently.settings import Settings, SettingsError
from evently.telemetry import telling
from evently.wallets import read_wallets
from papers.wallet import Wallets
from usecases.wiring import Options
from web.app import add_pages

BACKLOG_CONNECTIONS_MAX = 4096
#: Container objects made, and not freed, between two looks for cycles of garbage.
GARBAGE_OBJECTS = 50_000


async def serve(settings: Settings, spans: SpanTeller | None, wallets: Wallets) -> None:
    """Serve until SIGTERM or SIGINT; then say so, and finish the requests under way."""
    fields = msgspec.structs.asdict(settings) | {
        "redis_servers": settings.redis_servers_as("api"),
        "database_url": settings.database_url_as("api"),
        "database_read_url": settings.database_read_url_as("api"),
        "openid_providers": settings.openid_providers,
        "passkey_origins": settings.passkey_sites,
        "push_hosts": settings.push_hosts_allowed,
        "outward_networks": networks(settings.outward_networks),
        "wallets": wallets,
    }
    options = Options(**{name: fields[name] for name in Options.__slots__})
    # No access log: it costs more than half the throughput. Metrics count instead.
    runner = LaneRunner(
        create_app(
            options,
            body_bytes_max=settings.body_bytes_max,
            availability_age_ms_max=settings.availability_age_ms_max,
            trusted_proxies=networks(settings.trusted_proxies),
            cors_origins=settings.cors_allowed,
            openid_hosts=settings.openid_hosts_allowed,
            mailbox=settings.mailbox_dir,
            faces=[partial(add_pages, public_url=settings.public_url_or_own)],
            spans=spans,
            under_way_max={
                Work.SALES: settings.sales_under_way_max,
                Work.LOOKS: settings.looks_under_way_max,
                Work.LISTS: settings.lists_under_way_max,
                Work.OWN: settings.own_under_way_max,
                Work.SIGN_INS: settings.sign_ins_under_way_max,
                Work.CHANGES: settings.changes_under_way_max,
            },
            stream_bounds=StreamBounds(
                min(settings.streams_max, connections_max(raise_file_limit()) * 3 // 4),
                settings.streams_per_address_max,
                settings.streams_per_account_max,
            ),
        ),
        limits=Limits(
            head_s=settings.head_timeout_s,
            body_s=settings.body_timeout_s,
            idle_s=settings.idle_timeout_s,
            reader_bytes_per_s=settings.reader_bytes_per_s_min,
        ),
        access_log=None,
        shutdown_timeout=settings.drain_timeout_s,
    )
    await runner.setup()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        sockets = listening(settings.http_host, settings.http_port, BACKLOG_CONNECTIONS_MAX)
        listener = Listener(
            runner,
            sockets,
            connections_max=connections_max(raise_file_limit()),
            per_address_max=settings.connections_per_address_max,
            apart=(*LOOPBACK, *networks(settings.trusted_proxies)),
        )
        await listener.start()
        _spare_the_collector()
        await stopping.wait()
        runner.begin_to_drain()
        await asyncio.sleep(settings.drain_notice_s)
    finally:
        await runner.cleanup()


def _spare_the_collector() -> None:
    """
    Look for cycles of garbage less often, and never among what stays for the process's life.

    A request leaves hundreds of objects alive until its batch is answered, which Python's defaults
    take for a reason to look; almost none of them is part of a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 50)


def main() -> None:
    """Read the settings and serve."""
    settings = Settings.load_or_exit(
        "api", "redis_url", "database_url", "jwt_secret", "ticket_signing_key"
    )
    configure(settings.log_level, "api")
    try:
        wallets = read_wallets(settings)
    except SettingsError as error:
        sys.stderr.write(f"api: {error}\n")
        raise SystemExit(2) from None
    with telling("api") as spans:
        uvloop.run(serve(settings, spans, wallets))


if __name__ == "__main__":
    main()
