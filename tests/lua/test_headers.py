"""The headers of all scripts: complete, and in agreement with code, statuses and docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.outcomes import REFUSAL_FIELDS
from engine.script_docs import SECTIONS, Header, page, read_header
from engine.scripts import NAMES, source
from engine.status import Status

ROOT = Path(__file__).parents[2]
LUA = ROOT / "lua"

_CALL = re.compile(r"redis\.call\(\s*'([A-Z]+)'(?:,\s*([^,)]+))?[^)]*\)")
_WRITE = re.compile(r"write_rows\(\s*'[A-Z]+'")
_LITERAL = re.compile(r"'([A-Z][A-Z_]+)'")


@pytest.fixture(params=NAMES)
def header(request: pytest.FixtureRequest) -> Header:
    """Read one script."""
    return read_header(request.param)


def code(header: Header) -> str:
    """Return the script as it is loaded, its parts in place, without comments."""
    loaded = re.sub(r"--\[\[.*?\]\]", "", source(header.name), flags=re.DOTALL)
    return re.sub(r"--.*", "", loaded)


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
    """Each key slot of the header is read once in the body, and no other key is."""
    repeat = re.search(r"(\d+)(?:\.\.(\d+))? repeats?\b", header.sections["KEYS"])
    first, last = (int(repeat[1]), int(repeat[2] or repeat[1])) if repeat else (1, 0)
    fixed = [slot.number for slot in header.slots("KEYS") if not first <= slot.number <= last]
    used = re.findall(r"\bKEYS\[([^]]+)\]", code(header))
    assert fixed == sorted({int(text) for text in used if text.isdigit()})
    assert last - first + 1 == len({text for text in used if not text.isdigit()})


def test_arguments_are_bound(header: Header) -> None:
    """The body reads as many different arguments as the header lists."""
    used = set(re.findall(r"(?<!#)\b(?:ARGV|argv)\[([^]]+)\]", code(header)))
    words = re.search(r"bind_commands\(events, 2 \+ #events, (\d+)\)", header.body)
    # Commands are bound by number: the epoch and the events' ids, and so many words each.
    expected = 2 + int(words[1]) if words else len(used)
    if "bind_orders(" in header.body:
        expected = 10  # Shape, kinds, what is asked for, and five columns.
    assert len(header.slots("ARGV")) == expected


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


@pytest.mark.parametrize("path", sorted((LUA / "lib").glob("*.lua")), ids=lambda path: path.stem)
def test_a_part_is_one_function_of_its_name(path: Path) -> None:
    """A part is one local function, named as its file, with a comment on top; all are called."""
    text = path.read_text()
    assert [path.stem] == re.findall(r"^local function ([a-z_]+)\(", text, re.MULTILINE)
    assert text.startswith("--")
    assert any(f"local function {path.stem}(" in source(name) for name in NAMES)


def test_scripts_define_no_part_anew(header: Header) -> None:
    """A script's own functions do not bear the name of a part, which would be put in front."""
    own = set(re.findall(r"^local function ([a-z_]+)\(", header.body, re.MULTILINE))
    assert set() == own & {path.stem for path in (LUA / "lib").glob("*.lua")}
