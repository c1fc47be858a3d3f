"""
Receipts: what every booking is answered with, and the command that honours them on an open shard.

Signed and verified by the real code, with a key of this module. What is put in place: whoever finds
no place would join a list that the model does not have, and gets the row for people alone.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

from engine.receipts import verify
from reconciler.recover import keeper
from reconciler.recover.receipts import Line
from reconciler.recover.redeem import Redeemed, redeem_all
from reconciler.servers import Servers
from usecases.receipts import Receipts

#: Pause before what was not done is tried again, in seconds.
PAUSE_S = 0.5
SIGNED = Receipts(base64.urlsafe_b64encode(bytes(32)).decode())
_PUBLIC_KEYS = {
    bytes.fromhex(name): base64.urlsafe_b64decode(key + "=")
    for name, key in SIGNED.public_keys.items()
}


async def no_list(*_: Any) -> str:
    """Stand for the joining of the list of those who lost their places."""
    return "no list in the model"


async def run_redeemer(
    servers: Servers,
    receipts: Sequence[str],
    tries: int,
    tell: Callable[[str], None],
    took: Callable[[Redeemed], None],
) -> None:
    """
    Run the command that redeems a file of receipts, again as long as there are some to try again.

    Args:
        took: Takes what became of each receipt, each time.
    """
    lines = [Line(number, verify(text, _PUBLIC_KEYS)) for number, text in enumerate(receipts, 1)]
    for _ in range(tries):
        again: list[Line] = []
        try:
            async for one in redeem_all(servers, lines):
                tell(f"receipt of {one.booking_id}: {one.what}: {one.said}")
                took(one)
                again += [line for line in lines if one.what == "again" and line.number == one.line]
        except keeper.SHUT as error:
            tell(f"receipts failed: {error!r}")
            again = lines
        if not again:
            return
        lines = again
        await asyncio.sleep(PAUSE_S)
