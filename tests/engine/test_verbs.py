"""The table of verbs: what it says is so, and a verb has all its places (CONTRIBUTING.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import keys
from engine.calls import call_of
from engine.commands import Order, Own
from engine.engine import Engine
from engine.errors import EngineError
from engine.outcomes import OPTIONAL_FIELDS, REFUSAL_FIELDS, Applied, Booked
from engine.script_docs import read_header
from engine.status import Status
from engine.verbs import BOOK, CANCEL, VERBS, WRITE_PROBE, Verb

ROOT = Path(__file__).parents[2]

#: How a script begins, by what becomes of it while memory is full.
SHEBANGS = {"refused": "#!lua", "allowed": "#!lua flags=allow-oom", "read": "#!lua flags=no-writes"}


def missing(name: str) -> list[str]:
    """Return what a verb of that name lacks, of all that a verb has."""
    verb = VERBS.get(name)
    tests = ROOT / "tests" / "lua"
    has_method = verb is None or verb.roles != "api" or name in dir(Engine)
    unknown = [] if verb is None else [one for one in verb.made.split() if one not in set(Status)]
    found = {
        f"a script: lua/{name}.lua": not (ROOT / "lua" / f"{name}.lua").exists(),
        "a row: engine/verbs.py": verb is None,
        f"its status: {unknown}, engine/status.py": bool(unknown),
        f"a method: Engine.{name}, engine/engine.py": not has_method,
        f"tests: tests/lua/test_{name}.py": not (tests / f"test_{name}.py").exists(),
        "a call: tests/lua/stage.py": f'"{name}"' not in (tests / "stage.py").read_text(),
        "its chapter: `make docs`": f"## {name}\n" not in (ROOT / "docs/SCRIPTS.md").read_text(),
    }
    return [f"{name} lacks {place}" for place, is_missing in found.items() if is_missing]


def test_a_verb_has_all_its_places() -> None:
    """A verb begun in one place is named with the places that it lacks."""
    names = {path.stem for path in (ROOT / "lua").glob("*.lua")} | set(VERBS)
    lacking = [line for name in sorted(names) for line in missing(name)]
    assert not lacking, "\n".join(lacking)
    assert 5 == len(missing("dance"))


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_rows_say_what_headers_say(verb: Verb[object, object]) -> None:
    """F16: keys, what tells of success, where its seq is, memory and backlog: as in the script."""
    header = read_header(verb.name)
    names = (*verb.keys.before, *verb.keys.of_event, *verb.keys.after)
    assert [slot.name for slot in header.slots("KEYS")] == list(names)
    replies = header.replies()
    made = set(verb.made.split())
    assert made == set(replies) - {*REFUSAL_FIELDS, "REPLAYED"}
    places = {("status", *replies[status]).index("seq") for status in made if verb.seq_at}
    assert places == ({verb.seq_at} if verb.seq_at else set())
    assert SHEBANGS[verb.memory] == header.shebang
    assert verb.is_held_back == ("BACKPRESSURE" in replies)


def test_every_status_has_a_meaning() -> None:
    """A status is what some verb has made, a repetition, or a refusal; only these may pass."""
    made = {status for verb in VERBS.values() for status in verb.made.split()}
    assert made | {"REPLAYED", *REFUSAL_FIELDS} == set(Status)
    assert set() == made & set(REFUSAL_FIELDS)
    assert {status for status in Status if status.is_transient} <= set(REFUSAL_FIELDS)
    assert set(OPTIONAL_FIELDS) <= set(REFUSAL_FIELDS)


def test_a_reply_that_nobody_can_read_is_its_own_commands_failure() -> None:
    """A word of a later script, which this process does not know, fails one command alone."""
    orders = [Order("evt", f"bk_{n}", "usr", "f", b"{}", ((1, 1),)) for n in range(2)]
    reply = b"BOOKED 1 9 5 1:1:100\nDANCED 1"
    booked, unread = call_of(BOOK, 0, 1, orders).read(reply).outcomes
    assert isinstance(booked, Booked)
    assert isinstance(unread, EngineError)
    owns = [Own("evt", order.id, "usr") for order in orders]
    rows = [[b"DANCED", 1], [b"CANCELLED", 1, 9, 5, b"{}"]]
    (unread, cancelled), last_seq, batch = call_of(CANCEL, 0, 1, owns).read(rows)
    assert isinstance(unread, EngineError)
    assert (Applied(1, 9, 5, is_replay=False), 9) == (cancelled, last_seq)
    assert batch is not None
    assert [owns[1]] == [told.command for told in batch.told]


def test_a_probe_needs_no_command() -> None:
    """What asks whether a Redis takes writes is a call without an event."""
    assert ["{s3}:meta", "{s3}:log:7"] == WRITE_PROBE.keys.names(3, 7)


def test_layouts() -> None:
    """Keys come in the order of the script: the shard's, each event's, the shard's."""
    layout = keys.Layout.of("meta stock promos cancelling")
    one, two = keys.event(3, "a"), keys.event(3, "b")
    assert [
        keys.meta(3),
        one.stock,
        one.promos,
        two.stock,
        two.promos,
        keys.cancelling(3),
    ] == layout.names(3, 7, ["a", "b"])
    every = keys.Layout.of("meta journal due attempts_even attempts_odd *").names(3, 7, ["a"])
    assert [keys.meta(3), keys.journal(3, 7), keys.due(3), *keys.attempts(3), *one] == every
