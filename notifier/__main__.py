"""
The commands of `evently notifier`; without one, it runs until it is told to stop.

The one place of this package that knows the settings; all else takes plain values.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
import uvloop

from engine.outward import Outside, networks
from engine.printable import printable, table
from evently.command import Group
from evently.logs import configure, to_stderr
from evently.settings import Settings, SettingsError
from evently.telemetry import telling
from notifier import bounces, mail, push, samples, vapid, webhooks
from notifier.letter import NOTHING, NoAddress, Post, envelope, tag_of, write
from notifier.render import render
from notifier.service import serve
from notifier.smtp import Client, server_of
from papers.words import LANGUAGES
from store import deliveries
from store.pool import Pool, create_pool

app = typer.Typer(
    name="notifier",
    cls=Group,
    help="Tell people what is true: by mail and push.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="Keys that browsers know us by.", no_args_is_help=True)
app.add_typer(keys, name="keys")
dead = typer.Typer(help="Messages that were given up.", no_args_is_help=True)
app.add_typer(dead, name="dead")

Answer = TypeVar("Answer")
LISTED_MAX = 1_000


@app.callback()
def run(context: typer.Context) -> None:
    """Follow what is to be told and send it, until SIGTERM."""
    if context.invoked_subcommand is not None:
        return
    settings = Settings.load_or_exit("notifier", "database_url", "smtp_url", "ticket_signing_key")
    configure(settings.log_level, "notifier")
    options = mail.Options(
        workers=settings.notifier_workers, server=server_of(settings.smtp_url), post=_post(settings)
    )
    with telling("notifier") as spans:
        uvloop.run(
            serve(
                settings.database_url_as("notifier"),
                options,
                hooks=_hooks(settings),
                pushing=_pushing(settings),
                public_url=settings.public_url_or_own,
                signing_key=settings.ticket_signing_key if settings.mail_tickets == "on" else "",
                timeout_ms=settings.database_timeout_ms,
                drain_timeout_s=settings.drain_timeout_s,
                spans=spans,
            )
        )


@keys.command("make")
def make_key() -> None:
    """Make a key for new subscriptions, and show the setting; the one before it stays in it."""
    settings = Settings.load()
    kept = settings.vapid_private_keys[: vapid.KEYS_MAX - 1]
    texts = [vapid.make(), *kept]
    for key, what in zip(vapid.read(texts), ("new subscriptions", "those before"), strict=False):
        typer.echo(f"{key.id} is for {what}", err=True)
    typer.echo(f"EVENTLY_VAPID_KEYS={','.join(texts)}")


@dead.command("list")
def list_dead(
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="How many at most.")] = 100,
) -> None:
    """Show messages that were given up, the oldest first."""

    async def read(pool: Pool) -> list[deliveries.Dead]:
        return await deliveries.dead(pool, limit)

    rows = [
        (
            one.id,
            one.channel,
            one.kind,
            one.user_id,
            one.subject_id,
            one.attempts,
            one.reason,
            one.ended_at,
        )
        for one in _asked(read)
    ]
    headings = ("id", "channel", "message", "account", "about", "attempts", "reason", "since")
    typer.echo("\n".join(table(headings, rows, width=None)))


@dead.command()
def retry(
    ids: Annotated[list[int] | None, typer.Argument(help="Which; all if none is named.")] = None,
) -> None:
    """Send messages again that were given up."""
    to_stderr()
    typer.echo(f"{_asked(lambda pool: deliveries.retry(pool, ids or None))} messages wait again")


@dead.command()
def discard(
    ids: Annotated[list[int], typer.Argument(help="Which.")],
    reason: Annotated[str, typer.Option(help="Why nobody needs them.")],
) -> None:
    """Give messages up for good."""
    to_stderr()
    count = _asked(lambda pool: deliveries.discard(pool, ids, reason[:200]))
    typer.echo(f"{count} messages discarded")


@app.command()
def preview(
    message: Annotated[str, typer.Argument(help="Its kind, such as booking.confirmed.")],
    lang: Annotated[str, typer.Option(help=f"One of {', '.join(LANGUAGES)}.")] = "en",
    html: Annotated[bool, typer.Option("--html", help="The HTML, not the text.")] = False,
) -> None:
    """Show a message with made-up names, as it would be sent."""
    if lang not in LANGUAGES:
        raise SettingsError(f"there is no {lang}; there are {', '.join(LANGUAGES)}")
    content = samples.of(message, lang)
    if content is None:
        raise SettingsError(f"there is no {message}; there are {', '.join(samples.KINDS_SHOWN)}")
    words = render(content, lang)
    if html:
        typer.echo(words.html)
    else:
        typer.echo(f"{words.sender_name}: {words.subject}\n\n{words.text}", nl=False)


@app.command("send-test")
def send_test(address: Annotated[str, typer.Argument(help="To whom.")]) -> None:
    """Hand a letter in, and say what the server answers: 0 it was taken, 1 not."""
    settings = Settings.load().require("smtp_url")
    post, server = _post(settings), server_of(settings.smtp_url)
    content = samples.of("booking.confirmed", "en")
    assert content is not None, "it is one of ours"
    content = content._replace(enclosed=NOTHING)
    tag = tag_of("send-test", address)
    try:
        message = write(render(content, "en"), post, to=address, name="", tag=tag, thread=None)
        packed = envelope(message, post, to=address, tag=tag, number=0)
    except NoAddress as error:
        raise SettingsError(f"{address}: {error}") from error

    async def send() -> str:
        client = Client(server, local_hostname=post.domain)
        outcome = await client.send(packed)
        await client.close()
        return f"{outcome.verdict} {outcome.reason}".strip()

    said = asyncio.run(send())
    typer.echo(f"{printable(server.host)}: {said}")
    raise typer.Exit(0 if said == "sent" else 1)


@app.command()
def bounce(
    to: Annotated[str, typer.Option(help="The address that the report came to.")] = "",
) -> None:
    """Read mail about a letter: that it did not arrive, or shall not come; 1 it says neither."""
    raw = sys.stdin.buffer.read(bounces.BYTES_MAX)
    token = bounces.read_end(raw)
    if token is not None:
        typer.echo(_asked(lambda pool: bounces.end_letters(pool, token)))
        return
    report = bounces.read(raw, to=to)
    if report is None:
        typer.echo("no report of a letter of ours")
        raise typer.Exit(1)
    what = _asked(lambda pool: bounces.take(pool, report))
    typer.echo(f"letter {report.number}: {what}")


def _hooks(settings: Settings) -> webhooks.Options | None:
    if not settings.webhook_key:
        return None
    return webhooks.Options(
        workers=settings.webhook_workers,
        key=settings.webhook_key,
        outside=Outside(also=networks(settings.outward_networks)),
    )


def _pushing(settings: Settings) -> push.Pushing:
    return push.Pushing(
        keys=vapid.read(settings.vapid_private_keys),
        subject=settings.vapid_subject_or_own,
        outside=Outside(
            hosts=settings.push_hosts_allowed, also=networks(settings.outward_networks)
        ),
        workers=settings.notifier_workers,
    )


def _post(settings: Settings) -> Post:
    return Post(settings.mail_from, settings.mail_bounces)


def _asked(work: Callable[[Pool], Awaitable[Answer]]) -> Answer:
    """Do something with the database, in a loop of its own."""
    settings = Settings.load().require("database_url")

    async def ask() -> Answer:
        pool = await create_pool(
            settings.database_url_as("notifier"),
            connections_max=1,
            timeout_ms=settings.database_timeout_ms,
        )
        try:
            return await work(pool)
        finally:
            await pool.close()

    return asyncio.run(ask())


if __name__ == "__main__":
    app()
