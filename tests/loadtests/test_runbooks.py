"""The runbooks: each has its walk, and what a walk does is what the document says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from evently.cli import app as evently
from loadtests.runbooks.document import DOCUMENT, Block, blocks, sections
from loadtests.runbooks.walks import WALKS
from reconciler.__main__ import app as reconciler
from reconciler.recover.frozen import ELSE, REMEDIES, remedy

TEXT = DOCUMENT.read_text()
BLOCKS = blocks(TEXT)
#: What walks fill in for the operator.
NAMES = {"SHARD", "EVENT", "DATA", "WHO", "EPOCH", "SEQ", "FILE", "TO", "WHY", "EMAIL"}
SAMPLE = """
## Runbooks
### One
```sh walk=a-walk
reconciler check --shard $SHARD         # exits 1
# nothing but a word

mv "$DATA/x" \\
   "$DATA/y"
```
### Two
```sql walk=other
SELECT 1;
```
```sh
unnamed
```
## After
### Not one
"""


def test_the_document_is_read() -> None:
    """Sections, blocks, commands over two lines and exit codes are found, and nothing else."""
    assert ["One", "Two"] == sections(SAMPLE)
    first, second, third = blocks(SAMPLE)
    assert ("One", "a-walk", "sh") == first[:3]
    assert [("reconciler check --shard $SHARD", 1), ('mv "$DATA/x"     "$DATA/y"', 0)] == [
        tuple(deed) for deed in first.deeds
    ]
    assert ("Two", "other", "sql") == second[:3]
    assert "" == third.walk


def test_every_runbook_is_walked() -> None:
    """Each section has a walk, and each walk is of a section."""
    assert set(sections(TEXT)) == {walk.section for walk in WALKS}
    assert len(WALKS) == len({walk.name for walk in WALKS})


def test_every_block_is_walked() -> None:
    """Each block of commands names a walk of its own section: none is there to be read alone."""
    walks = {(walk.section, walk.name) for walk in WALKS}
    assert [] == [block for block in BLOCKS if (block.section, block.walk) not in walks]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.walk)
def test_every_command_is_there(block: Block) -> None:
    """What the document names is a command with such options, and asks for no unknown value."""
    for deed in block.deeds:
        assert set(re.findall(r"\$(\w+)", deed.text)) <= NAMES
        program, *words = deed.text.split()
        if program not in {"evently", "reconciler"}:
            assert block.language == "sql" or program == "mv", deed
            continue
        command: Any = typer.main.get_command({"evently": evently}.get(program, reconciler))
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
        assert [] == [word for word in words if word.startswith("--") and word not in known]


def test_every_reason_of_a_freeze_has_its_row() -> None:
    """The table of reasons has the words by which the commands find what to do."""
    table = TEXT.partition("### Frozen shard")[2].partition("\n### ")[0]
    for one in REMEDIES:
        assert [] == [words for words in one.words if words not in table]


def test_a_frozen_shard_says_what_to_do() -> None:
    """How many violations are left is said by the reason, and what to run by the remedy."""
    told = remedy(3, "2 violations are left, such as row_without_record: no record made it")
    assert "`reconciler check --shard 3`" in told
    assert "`reconciler repair --apply --shard 3`" in told
    assert "quarantine list --shard 3" in remedy(3, "1 records are in quarantine: `...`")
    assert ELSE.format(number=3) == remedy(3, "nobody has seen this before")
