"""The headers of all scripts: complete, and in agreement with code, statuses and docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.keys import EventKeys
from engine.linker import listing, parts, source
from engine.outcomes import REFUSAL_FIELDS
from engine.script_docs import SECTIONS, Header, event_keys, page, read_header
from engine.scripts import NAMES, render
from engine.status import Status

ROOT = Path(__file__).parents[2]
LUA = ROOT / "lua"

_CALL = re.compile(r"redis\.call\(\s*'([A-Z]+)'(?:,\s*([^,)]+))?[^)]*\)")
_WRITE = re.compile(r"write_rows\(\s*'[A-Z]+'")
_LITERAL = re.compile(r"'([A-Z][A-Z_]+)'")
#: Statuses of what a script has done; all others are refusals.
_CHANGES = """
    BLOCKED BOOKED CANCELLED CONFIRMED EXTENDED HELD JOINED LEFT MARKED PERSISTED PUBLISHED
    RELEASED REPLAYED SEATED SEATS SEATS_CHANGED STOCK SWEPT UNBLOCKED CAPACITY_SET CHECKED_IN
    CHECK_IN_UNDONE CLOSED EMPTIED ITEM_CANCELLED REOPENED TRANSFERRED
"""


@pytest.fixture(params=NAMES)
def header(request: pytest.FixtureRequest) -> Header:
    """Read one script."""
    return read_header(request.param)


def code(header: Header) -> str:
    """Return the script as it is loaded, its parts in place, without comments."""
    loaded = re.sub(r"--\[\[.*?\]\]", "", source(header.name), flags=re.DOTALL)
    return re.sub(r"--.*", "", loaded)


def test_every_verb_has_its_tests() -> None:
    """What is promised of a verb is found in `tests/lua/test_<verb>.py`."""
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert set() == set(NAMES) - tests


def test_f16_shebang(header: Header) -> None:
    """The first line makes Redis judge memory and keys before the script starts (F16)."""
    assert re.fullmatch(r"#!lua(?: flags=[a-z,-]+)?", header.shebang)
    assert ("no-writes" in header.shebang) == ("Reads only." in header.sections["Atomicity"])


def test_sections_in_order(header: Header) -> None:
    """A header begins with `name: summary` and has all sections, in order, none empty."""
    assert header.summary.startswith(f"{header.name}: ")
    assert list(SECTIONS) == list(header.sections)
    assert [] == [title for title, text in header.sections.items() if text.strip() == title]


@pytest.mark.parametrize("section", ["KEYS", "ARGV"])
def test_slots_are_contiguous(header: Header, section: str) -> None:
    """Keys and arguments are numbered 1, 2, 3, ... without a gap or a repeated name."""
    slots = header.slots(section)
    assert list(range(1, len(slots) + 1)) == [slot.number for slot in slots]
    assert len(slots) == len({slot.name for slot in slots})
    assert slots


def test_keys_are_bound(header: Header) -> None:
    """Each key of the header is read in the body by its number or its place, and no other is."""
    used = set(re.findall(r"\bKEYS\[([^]]+)\]", code(header)))
    fixed = {int(text) for text in used if text.isdigit()}
    repeated = [slot.number for slot in header.slots("KEYS") if slot.number not in fixed]
    assert fixed <= {slot.number for slot in header.slots("KEYS")}
    assert len(repeated) == len(used) - len(fixed)
    assert ("bind_events(" in header.body) == (" event " in header.sections["KEYS"])


def test_the_keys_of_an_event_are_those_of_the_engine() -> None:
    """Scripts bind what `engine.keys` names, in its order."""
    named = re.findall(r"^ +\d+ ([a-z]+) ", event_keys(), re.MULTILINE)
    bound = re.findall(r"([a-z]+) = KEYS\[k(?: \+ \d+)?\]", parts()["bind_events"].text)
    assert list(EventKeys._fields) == named == bound


def test_arguments_are_bound(header: Header) -> None:
    """The body reads as many different arguments as the header lists."""
    used = set(re.findall(r"(?<!#)\b(?:ARGV|argv)\[(?:orders\.)?([^]]+)\]", code(header)))
    words = re.search(r"bind_commands\(events, 2 \+ #events, (\d+)\)", header.body)
    # Commands are bound by number: the epoch and the events' ids, and so many words each.
    assert len(header.slots("ARGV")) == (2 + int(words[1]) if words else len(used))


def test_keys_are_never_built(header: Header) -> None:
    """The key of every command is a bare name or slot: scripts put no key names together."""
    calls = _CALL.findall(code(header))
    assert calls
    built = [key for _, key in calls if not re.fullmatch(r"[a-z_]*(\.[a-z_]+)?|KEYS\[n\]", key)]
    assert [] == built


def test_statuses_agree(header: Header) -> None:
    """The statuses of the header are exactly those that the body replies, all of them known."""
    replied = set(_LITERAL.findall(_WRITE.sub("", _CALL.sub("", code(header)))))
    assert set(header.replies()) == replied
    assert replied <= {status.value for status in Status}


def test_refusal_fields_agree(header: Header) -> None:
    """The fields of each refusal are the ones that the engine names, in the same order."""
    refusals = {
        Status(status): fields
        for status, fields in header.replies().items()
        if Status(status) in REFUSAL_FIELDS
    }
    assert {status: REFUSAL_FIELDS[status] for status in refusals} == refusals


def test_every_status_is_replied() -> None:
    """Every status of the engine is replied by some script."""
    replied = {status for name in NAMES for status in read_header(name).replies()}
    assert {status.value for status in Status} == replied


def test_errors_name_what_is_raised(header: Header) -> None:
    """The errors that the body makes are those of the header, beside FENCED of every script."""
    made = set(re.findall(r"error_reply\('([A-Z]+) ", header.body))
    told = set(re.findall(r"\b([A-Z]{6,})\b", header.sections["Errors"]))
    assert made | {"FENCED"} == told


@pytest.mark.parametrize("path", sorted(LUA.glob("recovery/*.lua")), ids=lambda path: path.stem)
def test_recovery_has_headers_too(path: Path) -> None:
    """What only a recovery calls has the same header, and compares the claim before it writes."""
    header = read_header(f"recovery/{path.stem}")
    assert header.summary.startswith(f"{path.stem}: ")
    assert list(SECTIONS) == list(header.sections)
    assert 0 < header.body.index("error_reply('FENCED") < header.body.index("-- Apply.")


@pytest.mark.parametrize("path", sorted(LUA.rglob("*.lua")), ids=lambda path: path.stem)
def test_f30_no_maxlen(path: Path) -> None:
    """F30: no script bounds the journal by length, which would drop records nobody has read."""
    assert "MAXLEN" not in path.read_text().upper()


def test_docs_are_up_to_date() -> None:
    """`docs/SCRIPTS.md` is what `python -m engine.script_docs` prints."""
    assert page() == (ROOT / "docs" / "SCRIPTS.md").read_text()


def test_every_part_is_called() -> None:
    """No part is dead."""
    linked = [source(name) for name in NAMES]
    calls = {part: any(f"local function {part}(" in text for text in linked) for part in parts()}
    assert [] == [part for part, is_called in calls.items() if not is_called]


def test_files_of_parts_say_what_they_are_about() -> None:
    """A file of `lua/lib/` begins with a paragraph of comment; the linker reads what follows."""
    files = sorted((LUA / "lib").glob("*.lua"))
    about = {path.name: path.read_text().partition("\n\n")[0].splitlines() for path in files}
    assert all(line.startswith("-- ") for lines in about.values() for line in lines)
    assert {f"lua/lib/{name}" for name in about} == {part.origin for part in parts().values()}


def test_scripts_define_no_part_anew(header: Header) -> None:
    """A script's own functions do not bear the name of a part, which would be put in front."""
    own = set(re.findall(r"^local function ([a-z_]+)\(", header.body, re.MULTILINE))
    assert set() == own & set(parts())


def test_a_listing_is_the_script_and_says_where_it_comes_from() -> None:
    """Without the lines of origins it is what is linked, with the numbers of what is loaded."""
    shown = [line for line in listing("book").splitlines() if not line.startswith("---- ")]
    assert source("book").splitlines() == [line[6:] for line in shown]
    loaded = render("book", "nonce", 1).splitlines()
    assert all(loaded[int(line[:5]) - 1] == line[6:] for line in shown)
    assert "---- lua/lib/door.lua\n" in listing("book")
