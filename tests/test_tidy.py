"""
The house rules that no tool knows: who imports whom, sizes, and one home for each kind of thing.

Reads the source, runs none of it. A rule that is in the way is discussed, not weakened here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SERVICES = ("api", "persister", "reconciler", "notifier", "web")
ROOMS = ("evently", "usecases", "engine", "store", "papers", "lua", "loadtests", *SERVICES)

#: Rooms that a room may import beside itself; whoever is not named may import anything.
MAY_IMPORT = {room: set[str]() for room in ("engine", "papers", "lua")} | {
    "store": {"engine"},
    **{room: {"store", "engine", "papers"} for room in ("usecases", *SERVICES)},
}
#: Services that are faces of the use cases.
FACES = {"api", "web"}
#: What use cases know nothing of: HTTP, and how the stores are spoken to.
NO_USE_CASE_IMPORTS = {"aiohttp", "asyncpg", "redis", "engine.keys", "engine.wire", "store.sql"}
#: Modules of `engine` that `store` may import.
STORE_MAY_IMPORT = {
    f"engine.{name}" for name in ("records", "status", "ids", "cuts", "homes", "pools", "tasks")
}
#: What a service's `__main__` may import besides, to turn settings into plain values.
MAIN_MAY_IMPORT = {
    *("evently.settings", "evently.logs", "evently.command", "evently.telemetry"),
    "evently.wallets",
}
#: The faces are served by one process, which `api/__main__.py` puts together.
SERVED_BESIDE = {"api/__main__.py": {"web.app"}}
#: Modules of `api` that `web` may import: what any face does with a request before a use case is
#: asked, and what the answers mean. None of them knows a route or a handler.
WEB_MAY_IMPORT = {
    f"api.{name}"
    for name in (
        "addresses",
        "admission",
        "answers",
        "codes",
        "http",
        "lean",
        "problems",
        "quota",
        "streams",
    )
}

#: Folders of the reconciler that each may import beside itself; `servers` is everybody's.
RECONCILER_MAY_IMPORT = {
    "event": set[str](),
    "judge": {"event"},
    "recover": {"judge", "event"},
    "repair": {"recover", "judge", "event"},
    "tell": {"event"},
    "commands": {"tell", "repair", "recover", "judge", "event"},
}
#: Modules of its longest chain of imports, the first and the last included.
RECONCILER_FLOORS_MAX = 10

READS_ENVIRONMENT = {"evently/settings.py", "evently/cli.py"}
KEY_NAMES = {"engine/keys.py"}

FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
FILE_BYTES_MAX = 2_000_000

#: Folders that hold nothing of ours, or nothing that is committed.
FOREIGN = {".git", ".venv", ".evently", "__pycache__", "node_modules", "build"}
TEXT_SUFFIXES = {
    "",
    ".py",
    ".lua",
    ".sql",
    ".md",
    ".toml",
    ".txt",
    ".cfg",
    ".conf",
    ".ini",
    ".yml",
    ".yaml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".sh",
    ".example",
    ".lock",
    ".service",
    ".po",
    ".svg",
}

_SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|DATABASE|SCHEMA|ROLE|USER|VIEW|TYPE)\s)",
    re.IGNORECASE,
)
INDEX_HOSTS = re.compile(
    r"--(extra-)?index-url|--find-links|--trusted-host|files\.pythonhosted\.org|"
    r"pypi\.org/(simple|packages)|/artifactory/|/simple/",
    re.IGNORECASE,
)
_MACHINE_PATHS = re.compile(r"(?<![\w.$}/-])/(work|root|Users|workspace)/[\w.-]+")


def files(*suffixes: str) -> list[Path]:
    """Return the project's files with one of *suffixes*, all text files if none is given."""
    wanted = set(suffixes) or TEXT_SUFFIXES
    return sorted(path for path in _walk(ROOT) if path.suffix in wanted)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink():
            continue
        if path.is_dir():
            is_foreign = path.name in FOREIGN or path.name.endswith((".egg-info", "_cache"))
            if not is_foreign and path.name != ".hypothesis":
                yield from _walk(path)
        elif path.name not in FOREIGN:
            yield path


def name_of(path: Path) -> str:
    """Return the path below the root."""
    return path.relative_to(ROOT).as_posix()


def sources() -> list[Path]:
    """Return the Python files of the product, without tests."""
    return [path for path in files(".py") if path.relative_to(ROOT).parts[0] in ROOMS]


@cache
def tree(path: Path) -> ast.Module:
    """Parse one file."""
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[str]:
    """Yield what a file imports, as `room.module`; imports inside functions count too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix("").parts[: -node.level or None]
            base = ".".join([*package, node.module or ""] if node.level else [node.module or ""])
            for alias in node.names:
                joined = f"{base.strip('.')}.{alias.name}"
                is_module = (ROOT / joined.replace(".", "/")).with_suffix(".py").exists()
                yield joined if is_module else base.strip(".")


def docstring_nodes(module: ast.Module) -> set[int]:
    """Return the identities of all docstring constants."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and value of every string in a file, parts of f-strings too, no docstrings."""
    documentation = docstring_nodes(tree(path))
    for node in ast.walk(tree(path)):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in documentation:
            assert isinstance(node, ast.Constant)
            yield node.lineno, str(node.value)


def is_allowed(importer: str, imported: str) -> bool:
    """Tell whether the floors allow this import."""
    room, other = importer.partition("/")[0], imported.partition(".")[0]
    if other == "tests":
        return room == "tests"
    if other not in ROOMS or other == room or room not in MAY_IMPORT:
        return True
    if room in SERVICES and importer == f"{room}/__main__.py" and imported in MAIN_MAY_IMPORT:
        return True
    if imported in SERVED_BESIDE.get(importer, ()):
        return True
    if room == "web" and other == "api":
        return imported in WEB_MAY_IMPORT
    if room == "store" and other == "engine":
        return imported in STORE_MAY_IMPORT
    return other in MAY_IMPORT[room] or (room in FACES and other == "usecases")


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("engine/engine.py", "engine.keys", True),
        ("engine/engine.py", "store.pool", False),
        ("engine/engine.py", "evently.settings", False),
        ("papers/press.py", "engine.errors", False),
        ("notifier/mail.py", "papers.tickets", True),
        ("store/ledger.py", "engine.records", True),
        ("store/ledger.py", "engine.engine", False),
        ("store/ledger.py", "engine", False),
        ("api/app.py", "store.pool", True),
        ("api/app.py", "web.pages", False),
        ("api/__main__.py", "web.app", True),
        ("web/pages/home.py", "api.http", True),
        ("web/pages/home.py", "api.handlers.events", False),
        ("web/pages/home.py", "usecases.discovery", True),
        ("persister/persister.py", "web.app", False),
        ("api/app.py", "evently.settings", False),
        ("api/app.py", "usecases.wiring", True),
        ("reconciler/check.py", "usecases.orders", False),
        ("usecases/orders.py", "engine.commands", True),
        ("usecases/orders.py", "api.problems", False),
        ("engine/engine.py", "usecases.catalog", False),
        ("api/__main__.py", "evently.settings", True),
        ("api/__main__.py", "evently.up", False),
        ("api/__main__.py", "persister.persister", False),
        ("evently/up.py", "persister.persister", True),
        ("api/app.py", "tests.checks", False),
        ("api/app.py", "asyncio", True),
    ],
)
def test_floors_are_judged(importer: str, imported: str, expected: bool) -> None:
    """The judge of imports knows right from wrong."""
    assert expected == is_allowed(importer, imported)


def test_imports_point_inward() -> None:
    """No room imports one above or beside it (ARCHITECTURE, "Three floors")."""
    wrong = [
        f"{name_of(path)} imports {imported}"
        for path in sources()
        for imported in imports(path)
        if not is_allowed(name_of(path), imported)
    ]
    assert [] == wrong


def test_use_cases_know_no_face_and_no_store() -> None:
    """Use cases import no HTTP and no driver, hold no SQL, and reach for no Redis client."""
    room = [path for path in sources() if name_of(path).startswith("usecases/")]
    wrong = [
        f"{name_of(path)} imports {imported}"
        for path in room
        for imported in imports(path)
        if {imported, imported.partition(".")[0]} & NO_USE_CASE_IMPORTS
    ]
    wrong += [
        f"{name_of(path)}:{line} holds SQL"
        for path in room
        for line, text in texts(path)
        if _SQL.match(text)
    ]
    wrong += [
        f"{name_of(path)}:{node.lineno} reaches for {node.attr}"
        for path in room
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr in {"client", "execute_command", "fetch", "fetchrow", "fetchval"}
    ]
    assert (True, []) == (len(room) > 10, wrong)


def test_one_name_one_type() -> None:
    """Within the use cases and their face, a type's name stands for one type."""
    seen: dict[str, list[str]] = {}
    for path in sources():
        if path.relative_to(ROOT).parts[0] not in {"usecases", *FACES}:
            continue
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                seen.setdefault(node.name, []).append(name_of(path))
    assert {} == {name: paths for name, paths in seen.items() if len(paths) > 1}


def test_imports_are_seen() -> None:
    """The reader of imports sees modules, names of modules, and rooms."""
    seen = set(imports(ROOT / "store" / "ledger.py"))
    assert {"engine.records", "store.rows", "store.sql"} <= seen
    assert {"engine.keys", "engine.shard"} <= set(imports(ROOT / "engine" / "engine.py"))


def inner_imports(room: str) -> dict[str, set[str]]:
    """Return which modules of a room each module of it imports."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sources()
        if path.relative_to(ROOT).parts[0] == room
    }
    return {name: set(imports(path)) & (paths.keys() - {name}) for name, path in paths.items()}


def chain(graph: dict[str, set[str]], name: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the longest chain of imports that begins at a module; a circle is an error."""
    if name in above:
        raise ValueError(f"a circle: {' > '.join([*above, name])}")
    below = (chain(graph, other, (*above, name)) for other in graph[name])
    return (name, *max(below, key=len, default=()))


def test_chain_of_imports() -> None:
    """The longest chain is found, and so is a circle."""
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set[str]()}
    assert ("a", "b", "c") == chain(graph, "a")
    with pytest.raises(ValueError, match="a circle"):
        chain(graph | {"c": {"a"}}, "a")


def test_reconciler_stands_on_few_floors() -> None:
    """Its folders import only those below them, and no chain of imports is longer than allowed."""
    graph = inner_imports("reconciler")
    folders = {name: name.split(".")[1] if name.count(".") > 1 else "" for name in graph}
    wrong = [
        f"{name} imports {other}"
        for name in graph
        for other in graph[name]
        if folders[name]
        and folders[other] not in {"", folders[name], *RECONCILER_MAY_IMPORT[folders[name]]}
    ]
    assert [] == wrong
    longest = max((chain(graph, name) for name in graph), key=len)
    assert len(longest) <= RECONCILER_FLOORS_MAX, " > ".join(longest)


def test_functions_are_short() -> None:
    """No function has more lines than fit a reader's head."""
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}: {(node.end_lineno or 0) - node.lineno + 1}"
        for path in files(".py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert [] == long


def test_lines_are_short() -> None:
    """No line of code is longer than 100 columns."""
    long = [
        f"{name_of(path)}:{number}: {len(line)}"
        for path in files(".py", ".lua", ".sql")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > COLUMNS_MAX
    ]
    assert [] == long


def test_postgresql_away_has_one_list() -> None:
    """
    How PostgreSQL shows that it does not answer stands once, in `store.pool.UNANSWERED`.

    A list of one's own forgets a kind: asyncpg has one for a server that goes in mid-prepare.
    """
    caught = re.compile(r"asyncpg\.InterfaceError|except .*asyncpg\.PostgresError")
    listed = [name_of(path) for path in sources() if caught.search(path.read_text())]
    assert ["store/pool.py"] == listed


def test_environment_is_read_in_one_place() -> None:
    """Only the settings and the command line look at the environment."""
    readers = {
        name_of(path)
        for path in sources()
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {alias.name for alias in node.names} & {"environ", "environb", "getenv"}
        )
    }
    assert set() == {
        name for name in readers if name not in READS_ENVIRONMENT and "loadtests/" not in name
    }


def test_key_names_are_made_in_one_place() -> None:
    """Only `engine/keys.py` knows how a Redis key is spelled."""
    spelled = [
        f"{name_of(path)}:{line}"
        for path in sources()
        if name_of(path) not in KEY_NAMES
        for line, text in texts(path)
        if "{s" in text
    ]
    assert [] == spelled
    lua = [name_of(path) for path in files(".lua") if "{s" in path.read_text()]
    assert [] == lua


def built_sql(module: ast.Module) -> Iterator[int]:
    """Yield the lines at which SQL is put together from text."""
    for node in ast.walk(module):
        parts: list[ast.expr] = []
        if not isinstance(node, ast.expr):
            continue
        if isinstance(node, ast.JoinedStr):
            has_value = any(isinstance(part, ast.FormattedValue) for part in node.values)
            parts = node.values[:1] if has_value else []
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            parts = [node.left]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = [node.func.value] if node.func.attr in {"format", "join", "replace"} else []
        for part in parts:
            if isinstance(part, ast.Constant) and _SQL.match(str(part.value)):
                yield node.lineno


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('f"SELECT {column} FROM bookings"', [1]),
        ('"DELETE FROM " + table', [1]),
        ('"UPDATE bookings SET x = %s" % value', [1]),
        ('"SELECT {}".format(column)', [1]),
        ('"SELECT a FROM b WHERE c = $1"', []),
        ('f"Select a seat, {name}"', [1]),
        ('f"{name} was selected"', []),
    ],
)
def test_built_sql_is_seen(code: str, expected: list[int]) -> None:
    """The finder of built SQL sees each way to build it."""
    assert expected == list(built_sql(ast.parse(code)))


def test_s25_no_sql_is_built() -> None:
    """SQL takes parameters; no statement is put together from text."""
    built = [f"{name_of(path)}:{line}" for path in sources() for line in built_sql(tree(path))]
    assert [] == built


def test_f30_no_maxlen() -> None:
    """F30: nowhere is the journal bounded by length, which would drop unread records."""
    folders = {*ROOMS, "deploy"}
    spelled = [
        name_of(path)
        for path in files()
        if path.relative_to(ROOT).parts[0] in folders and "MAXLEN" in path.read_text()
    ]
    assert [] == spelled
    passed = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"xadd", "xtrim"}
        and any(keyword.arg == "maxlen" for keyword in node.keywords)
    ]
    assert [] == passed


def test_modules_have_docstrings() -> None:
    """Every module says what it is, but for the empty mark of a package."""
    bare = [
        name_of(path)
        for path in files(".py")
        if not ast.get_docstring(tree(path))
        and not (path.name == "__init__.py" and tree(path).body == [])
    ]
    assert [] == bare


def test_tests_have_docstrings() -> None:
    """Every test says in one sentence what it proves."""
    bare = []
    for path in files(".py"):
        if path.relative_to(ROOT).parts[0] != "tests":
            continue
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            text = ast.get_docstring(node) or ""
            if node.name.startswith("test_") and not text.endswith("."):
                bare.append(f"{name_of(path)}:{node.lineno} {node.name}")
    assert [] == bare


def test_nothing_of_one_machine() -> None:
    """No file names a package index or a path that only one machine has."""
    found = [
        f"{name_of(path)}:{number}: {line.strip()[:80]}"
        for path in files()
        if path != Path(__file__) and path.stat().st_size <= FILE_BYTES_MAX
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if INDEX_HOSTS.search(line) or _MACHINE_PATHS.search(line)
    ]
    assert [] == found
