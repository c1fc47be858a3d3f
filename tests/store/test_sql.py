"""Named queries: every one is valid SQL, has a unique name, and takes parameters only."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import asyncpg
import pytest

from store import sql
from store.personal import asked_of_persons
from usecases.moments import moment_of, ms_of

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r'\bquery\("([a-z_]+)"\)')


@pytest.fixture
def _fresh() -> None:
    """Forget what was read."""
    sql.queries.cache_clear()


async def test_every_query_is_accepted_by_the_database(connection: asyncpg.Connection) -> None:
    """Each statement can be prepared against the migrated schema."""
    for text in sql.queries().values():
        await connection.prepare(text)


def test_every_query_is_used_and_every_used_one_exists() -> None:
    """Names in the code and names in the files are the same."""
    used = {
        name
        for folder in ("api", "evently", "persister", "reconciler", "store")
        for path in (ROOT / folder).rglob("*.py")
        for name in _NAME.findall(path.read_text(encoding="utf-8"))
    }
    assert set(sql.queries()) == used | asked_of_persons()


def test_unknown_name_is_a_bug() -> None:
    """A name that does not exist raises at once."""
    with pytest.raises(KeyError, match="no_such_query"):
        sql.query("no_such_query")


def test_files_hold_one_statement_per_section() -> None:
    """No section smuggles a second statement behind the first."""
    for name, text in sql.queries().items():
        code = re.sub(r"--.*", "", text)
        assert 1 == code.count(";"), name
        assert code.rstrip().endswith(";"), name


@pytest.mark.usefixtures("_fresh")
def test_name_that_stands_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sections of one name, even in two files, are an error."""
    for file in ("a.sql", "b.sql"):
        (tmp_path / file).write_text("-- twin --\nSELECT 1;\n", encoding="utf-8")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="query twin stands twice"):
        sql.queries()


@pytest.mark.parametrize("at_ms", [0, 1, 1_795_851_195_999, 8_999_999_999_963, 32_503_679_999_999])
def test_a_moment_is_exact(at_ms: int) -> None:
    """A time in ms comes back from PostgreSQL's form as it was, as far as events may lie."""
    assert at_ms == ms_of(sql.moment(at_ms)) == ms_of(moment_of(at_ms))
    assert at_ms % 1000 == sql.moment(at_ms).microsecond // 1000
