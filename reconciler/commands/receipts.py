"""
The command `python -m reconciler verify-receipt`.

Needs no server: a receipt verifies alone, with the key of this deployment or any other.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from engine.printable import printable
from engine.receipts import InvalidReceipt, derive_key, key_id, verify
from reconciler.recover.receipts import provider
from store import redo

ReadKey = Callable[[], str]


def register(app: typer.Typer, read_signing_key: ReadKey) -> None:
    """
    Add the command to *app*.

    Args:
        read_signing_key: Returns the key that signs tickets, or empty text; receipts' keys are
            derived from it.
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
        keys = public_keys(key or [], read_signing_key)
        texts = sys.stdin if receipt == "-" else [receipt]
        lines = [_judged(text.strip(), keys) for text in texts if text.strip()]
        for line in lines:
            sys.stdout.write((json.dumps(line) if as_json else printable(_sentence(line))) + "\n")
        raise typer.Exit(0 if lines and all(line["valid"] for line in lines) else 1)


def read(path: Path, read_signing_key: ReadKey) -> Callable[[int], Awaitable[Sequence[redo.Row]]]:
    """
    Read a file of receipts for a recovery, and say on stderr which lines are not taken.

    Raises:
        typer.BadParameter: the file cannot be read, or there is no key.
    """
    keys = public_keys([], read_signing_key)
    try:
        return provider(
            path,
            keys,
            lambda number, why: typer.echo(
                f"receipts, line {number}: not taken: {printable(why)}", err=True
            ),
        )
    except OSError as error:
        raise typer.BadParameter(f"cannot read the receipts: {error}") from error


def public_keys(texts: Sequence[str], read_signing_key: ReadKey) -> dict[bytes, bytes]:
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
        signing_key = read_signing_key()
        if not signing_key:
            raise typer.BadParameter(
                "no key: give --key, set EVENTLY_TICKET_SIGNING_KEY, or start `evently up`"
            )
        found.append(derive_key(signing_key).public_key().public_bytes_raw())
    return {key_id(raw): raw for raw in found}


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
