"""
The commands `python -m reconciler verify-receipt` and `receipts redeem`.

The first needs no server: a receipt verifies alone, with the key of this deployment or any other.
The second honours receipts on open shards (`reconciler.recover.redeem`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.printable import printable
from engine.receipts import InvalidReceipt, derive_key, key_id, verify
from reconciler.recover.receipts import provider, read_lines
from reconciler.recover.redeem import Redeemed, redeem_all
from reconciler.servers import Load, Servers
from store import keys, redo
from store.pool import UNANSWERED, connect

ReadKeys = Callable[[], Sequence[bytes]]

HONOURED, LEFT, AWAY = 0, 1, 2
#: What became of receipts, in the words of the last line.
_COUNTED = {
    "there": "already there",
    "booked": "booked again",
    "waits": "first on a waitlist, and for people to judge",
    "judge": "for people to judge",
    "again": "to be tried again",
    "not taken": "not taken",
}


def register(app: typer.Typer, read_own_keys: ReadKeys, load: Load) -> None:
    """
    Add the commands to *app*.

    Args:
        load: Reads where the servers are.

        read_own_keys: Returns the public keys of this deployment's receipts, those that are known.
    """

    @app.command("verify-receipt")
    def verify_receipt(
        receipt: Annotated[str, typer.Argument(help="A receipt, or - for stdin, one a line.")],
        *,
        key: Annotated[
            list[str] | None,
            typer.Option(help="Public key as GET /v1/receipt-key has it; this deployment's own."),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """Verify receipts; exit code 0: all are valid, 1: at least one is not, 2: no key."""
        known = public_keys(key or [], read_own_keys)
        texts = sys.stdin if receipt == "-" else [receipt]
        lines = [_judged(text.strip(), known) for text in texts if text.strip()]
        for line in lines:
            sys.stdout.write((json.dumps(line) if as_json else printable(_sentence(line))) + "\n")
        raise typer.Exit(0 if lines and all(line["valid"] for line in lines) else 1)

    receipts = typer.Typer(help="What buyers can prove.", no_args_is_help=True)
    app.add_typer(receipts, name="receipts")

    @receipts.command()
    def redeem(
        file: Annotated[
            Path, typer.Argument(help="Receipts, one a line.", exists=True, dir_okay=False)
        ],
        *,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """
        Book again what receipts prove and nobody has any more; safe to repeat.

        Exit code 0: all honoured, 1: something is left for people, 2: something to be tried again.
        """
        raise typer.Exit(redeem_file(load(), file, read_own_keys, as_json=as_json))


def redeem_file(
    servers: Servers, path: Path, read_own_keys: ReadKeys, *, as_json: bool = False
) -> int:
    """
    Redeem the receipts of a file, and say of each what became of it.

    Returns:
        The exit code.

    Raises:
        typer.BadParameter: the file cannot be read, or there is no key.
    """
    known = public_keys([], read_own_keys)
    counts: Counter[str] = Counter()

    def tell(one: Redeemed) -> None:
        counts[one.what] += 1
        name = f"{one.booking_id}: " if one.booking_id else ""
        text = f"line {one.line}: {name}{one.said}"
        typer.echo(json.dumps(one._asdict()) if as_json else printable(text))

    async def run() -> None:
        async for one in redeem_all(servers, read_lines(path, known)):
            tell(one)

    asyncio.run(run())
    if not as_json:
        told = [f"{counts[what]} {words}" for what, words in _COUNTED.items() if counts[what]]
        typer.echo(f"{counts.total()} receipts: {', '.join(told) or 'none in the file'}")
    if counts["again"]:
        return AWAY
    return HONOURED if counts.total() == counts["there"] + counts["booked"] else LEFT


def read(path: Path, read_own_keys: ReadKeys) -> Callable[[int], Awaitable[Sequence[redo.Row]]]:
    """
    Read a file of receipts for a recovery; what is not taken is told when they are redeemed.

    Raises:
        typer.BadParameter: the file cannot be read, or there is no key.
    """
    known = public_keys([], read_own_keys)
    try:
        return provider(path, known, lambda _number, _why: None)
    except OSError as error:
        raise typer.BadParameter(f"cannot read the receipts: {error}") from error


def public_keys(texts: Sequence[str], read_own_keys: ReadKeys) -> dict[bytes, bytes]:
    """
    Return the keys to verify by, by what names them: those given, else this deployment's own.

    Raises:
        typer.BadParameter: one is no key, or there is none at all.
    """
    found = []
    for text in texts:
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 32:
            raise typer.BadParameter(f"{text!r} is not 32 bytes in base64url")
        found.append(raw)
    if not found:
        found += read_own_keys()
        if not found:
            raise typer.BadParameter(
                "no key: give --key, set EVENTLY_TICKET_SIGNING_KEY, or start `evently up`"
            )
    return {key_id(raw): raw for raw in found}


def own_keys(ticket_signing_key: str, database_url: str, timeout_ms: int) -> list[bytes]:
    """
    Return the public keys of a deployment's receipts: the setting's, and those made since.

    Args:
        database_url: Where the others are told; empty if that is not known.
    """
    found: dict[bytes, bool] = {}
    if ticket_signing_key:
        found[derive_key(ticket_signing_key).public_key().public_bytes_raw()] = True
    if database_url:
        try:
            # That of the setting as well, which may have been retired.
            found |= asyncio.run(_told_keys(database_url, timeout_ms))
        except UNANSWERED as error:
            text = f"PostgreSQL does not tell which keys were made since: {error}"
            typer.echo(printable(text), err=True)
    return [key for key, counts in found.items() if counts]


async def _told_keys(database_url: str, timeout_ms: int) -> dict[bytes, bool]:
    connection = await connect(database_url, timeout_ms=timeout_ms)
    try:
        return await keys.receipt_keys(connection)
    finally:
        await connection.close(timeout=timeout_ms / 1000)


def _judged(text: str, keys: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        receipt = verify(text, keys)
    except InvalidReceipt as error:
        return {"valid": False, "reason": str(error)}
    return {"valid": True, **msgspec.to_builtins(receipt)}


def _sentence(line: dict[str, Any]) -> str:
    if not line["valid"]:
        return f"NOT VALID: {line['reason']}"
    items = ", ".join(_item(*item) for item in line["items"])
    return (
        f"valid: booking {line['booking_id']} of {line['user_id']}, event {line['event_id']}, "
        f"{items}; shard {line['shard']}, epoch {line['epoch']}, record {line['seq']}"
    )


def _item(tier_no: int, quantity: int, _: int, seat_ids: tuple[str, ...]) -> str:
    seats = f" ({', '.join(seat_ids)})" if seat_ids else ""
    return f"{quantity} of tier {tier_no}{seats}"
