"""
What clients did and were told: one line before each request is sent, one when it has ended.

Owns the form of a history and its file. Guarantees: an `invoke` is in the file before the request
leaves, so that a client that dies leaves no booking without a trace; an outcome that is not known
(no answer, 5xx) is `info` and never `fail`. Leaves judging to `checkers.py`.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

#: `confirm` also stands for the acceptance of an offer; what looks and changes nothing comes last.
Verb = Literal[
    "book",
    "hold",
    "confirm",
    "cancel",
    "misuse",
    "join",
    "leave",
    "scan",
    "see",
    "see_hold",
    "see_entry",
    "list",
    "list_entry",
]
#: Verbs of requests that change nothing.
LOOKS = frozenset({"see", "see_hold", "see_entry", "list", "list_entry"})
#: Verbs whose answer is the booking itself.
_TELLS_BOOKING = frozenset({"book", "confirm", "cancel", "misuse"})
#: Verbs whose answer says how something stands, and for how long.
_TELLS_STANDING = frozenset({"hold", "join", "see", "see_hold", "see_entry"})
Outcome = Literal["ok", "fail", "info"]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a history. All lines of one attempt carry its number."""

    #: Monotonic clock of this machine, in seconds: the same for every process.
    at_s: float
    #: `invoke`, how the attempt ended, or `nemesis` for what was done to the servers.
    kind: Literal["invoke", "ok", "fail", "info", "nemesis"]
    attempt: int = 0
    verb: Verb | Literal[""] = ""
    #: The booking that it makes, ends or looks at, derived before it exists; the same for all
    #: attempts. A hold or an entry goes by the booking that it may become.
    booking_id: str = ""
    event_id: str = ""
    tier_no: int = 0
    places: int = 0
    seats: tuple[str, ...] = ()
    #: Problem code or error of an attempt that failed; for a nemesis what it did.
    code: str = ""
    #: Seat that a refusal names.
    seat: str = ""
    #: Of an answer: the booking's id and its place in the journal.
    told_id: str = ""
    told_seq: int = 0
    #: On whose behalf it was asked.
    user_id: str = ""
    #: API process that answered.
    worker: str = ""
    #: Status of what an answer shows.
    state: str = ""
    #: Until when it keeps the places of a hold or an offer, on the clock of `at_s`; 0 if none.
    until_s: float = 0.0
    #: Tickets that an answer shows of a booking, each with its code.
    tickets: int = 0


def attempt(
    verb: Verb,
    booking_id: str,
    event_id: str,
    tier_no: int,
    places: int,
    seats: tuple[str, ...] = (),
) -> Line:
    """Return the line of a request that is about to be sent."""
    return Line(
        at_s=time.monotonic(),
        kind="invoke",
        verb=verb,
        booking_id=booking_id,
        event_id=event_id,
        tier_no=tier_no,
        places=places,
        seats=seats,
    )


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt from its sending to its end."""

    verb: Verb
    booking_id: str
    event_id: str
    tier_no: int
    places: int
    seats: tuple[str, ...]
    invoked_s: float
    #: Infinite while the outcome is not known: it may still happen.
    ended_s: float
    outcome: Outcome
    user_id: str = ""
    #: What the answer said.
    end: Line | None = None

    @property
    def code(self) -> str:
        """Problem code of a refusal."""
        return self.end.code if self.end else ""


class Recorder:
    """Appends lines to a file, each by one system call: what is written survives its writer."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._encoder = msgspec.json.Encoder()
        self._attempts = 0

    def invoke(self, line: Line, user_id: str = "") -> Line:
        """Write that this is about to be sent; return the line with its attempt's number."""
        self._attempts += 1
        numbered = msgspec.structs.replace(
            line, at_s=time.monotonic(), attempt=self._attempts, user_id=user_id
        )
        self.write(numbered)
        return numbered

    def end(self, invoked: Line, outcome: Outcome, code: str = "", **told: object) -> Line:
        """Write how the attempt ended."""
        line = msgspec.structs.replace(
            invoked, at_s=time.monotonic(), kind=outcome, code=code, **told
        )
        self.write(line)
        return line

    def answered(self, invoked: Line, status: int, answer: Mapping[str, Any], **more: Any) -> Line:
        """
        Write what an answer says: a refusal is certain, 5xx and no answer (status 0) are not.

        Args:
            answer: The body; of none, what went wrong as its `code`.
        """
        code = str(answer.get("code", status))
        if not status or status >= 500:
            return self.end(invoked, "info", code)
        if status >= 400:
            return self.end(invoked, "fail", code, seat=str(answer.get("seat_id", "")), **more)
        if invoked.verb in _TELLS_BOOKING:
            more |= {"told_id": answer["id"], "told_seq": answer["seq"]}
        if invoked.verb in _TELLS_STANDING:
            more |= _standing(answer)
        if invoked.verb in {"book", "confirm"} and not invoked.seats:  # Best available: which?
            seats = (seat for item in answer["items"] for seat in item.get("seat_ids", ()))
            more["seats"] = tuple(seats)
        return self.end(invoked, "ok", **more)

    def nemesis(self, what: str) -> None:
        """Write what was done to the servers."""
        self.write(Line(at_s=time.monotonic(), kind="nemesis", code=what))

    def write(self, line: Line) -> None:
        """Append one line."""
        os.write(self._fd, self._encoder.encode(line) + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _standing(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an answer says of how something stands: its status, and for how long."""
    found: dict[str, Any] = {"state": str(answer.get("status", ""))}
    until = (answer.get("offer") or answer).get("expires_at")
    if until:
        left = dt.datetime.fromisoformat(until) - dt.datetime.now(dt.UTC)
        found["until_s"] = time.monotonic() + left.total_seconds()
    found["tickets"] = sum(bool(ticket.get("code")) for ticket in answer.get("tickets", ()))
    return found


def read(path: Path) -> list[Line]:
    """Return the lines of a history; half a line at the end, of a writer that died, is left out."""
    whole = path.read_bytes().split(b"\n")[:-1]
    decoder = msgspec.json.Decoder(Line)
    return [decoder.decode(line) for line in whole]


def calls(lines: Iterable[Line]) -> list[Call]:
    """Pair each invocation with its end, in the order of invocation."""
    ends = {}
    invoked = []
    for line in lines:
        if line.kind == "invoke":
            invoked.append(line)
        elif line.kind != "nemesis":
            ends[line.attempt] = line
    return [_call(line, ends.get(line.attempt)) for line in invoked]


def _call(line: Line, end: Line | None) -> Call:
    assert line.verb, "an invocation says what it asks for"
    outcome: Outcome = "info"
    if end is not None and (end.kind == "ok" or end.kind == "fail"):  # noqa: PLR1714  For mypy.
        outcome = end.kind
    return Call(
        verb=line.verb,
        booking_id=line.booking_id,
        event_id=line.event_id,
        tier_no=line.tier_no,
        places=line.places,
        # Who asks for the best available learns from the answer which seats they are.
        seats=(end or line).seats,
        invoked_s=line.at_s,
        ended_s=math.inf if outcome == "info" or end is None else end.at_s,
        outcome=outcome,
        user_id=line.user_id,
        end=end,
    )


def timeline(
    lines: Sequence[Line], *, booking_ids: Iterable[str] = (), seats: Iterable[str] = ()
) -> list[str]:
    """Return the lines about these bookings and seats, with what the nemesis did meanwhile."""
    wanted, wanted_seats = set(booking_ids), set(seats)
    about = [
        line
        for line in lines
        if line.kind != "nemesis"
        and (line.booking_id in wanted or wanted_seats.intersection(line.seats))
    ]
    if not about:
        return [_told(line, lines[0].at_s) for line in lines if line.kind == "nemesis"]
    first_s, last_s = about[0].at_s, about[-1].at_s
    nemesis = [
        line
        for line in lines
        # What was done a little earlier may have its effect now.
        if line.kind == "nemesis" and first_s - 5 <= line.at_s <= last_s + 5
    ]
    told = sorted([*about, *nemesis], key=lambda line: line.at_s)
    return [_told(line, lines[0].at_s) for line in told]


def _told(line: Line, start_s: float) -> str:
    if line.kind == "nemesis":
        return f"{line.at_s - start_s:9.3f}  ---- {line.code}"
    what = f"{line.verb} {line.booking_id} {' '.join(line.seats) or f'{line.places} places'}"
    words = [
        line.code,
        line.state,
        line.seat,
        line.told_id,
        f"seq {line.told_seq}" if line.told_seq else "",
    ]
    end = " ".join(word for word in words if word)
    return f"{line.at_s - start_s:9.3f}  #{line.attempt:<5} {line.kind:<6} {what} {end}".rstrip()
