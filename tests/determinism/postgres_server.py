"""
A model of PostgreSQL at READ COMMITTED: tables of rows, transactions, row locks, lost clients.

What a transaction writes is its own until it commits; then all of it is there at once. Locks are
held to the end of the transaction, and a client that is gone keeps them until its backend notices,
which is how a COMMIT whose outcome nobody knows looks from outside (F26). What the statements do
stands in `tests.determinism.statements`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Any

import asyncpg

from tests.determinism.loop import VirtualLoop
from tests.determinism.network import Link, Reply

#: How long a statement waits for a lock.
LOCK_TIMEOUT_S = 5.0

TABLES = (
    "reigns",
    "checkpoints",
    "journal",
    "events",
    "bookings",
    "items",
    "tickets",
    "entries",
    "redo",
    "conflicts",
    "quarantine",
    "moves",
)
Key = Any
#: Table -> key -> row.
Tables = Mapping[str, dict[Key, Any]]
Lock = tuple[str, Key]


class Row:
    """A row as asyncpg returns it: by position, by name, and as a mapping."""

    __slots__ = ("_names", "_values")

    def __init__(self, **values: Any) -> None:
        self._names, self._values = tuple(values), tuple(values.values())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __getitem__(self, at: str | int) -> Any:
        return self._values[at if isinstance(at, int) else self._names.index(at)]

    def keys(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return self._names


class Transaction:
    """What one transaction sees: what is committed, under what it has written itself."""

    def __init__(
        self,
        committed: Mapping[str, dict[Key, Any]],
        name: Callable[[str, bool], bool] | None = None,
    ) -> None:
        """
        Args:
            committed: What there is.

            name: Takes the lock of a name for the session, or tells whether it could be taken.
        """
        self._committed = committed
        self._name = name
        #: Table -> key -> row; None for a row that was deleted.
        self.written: dict[str, dict[Key, Any]] = {}
        self._savepoints: list[dict[str, dict[Key, Any]]] = []

    def get(self, table: str, key: Key) -> Any:
        """Return a row, None if there is none."""
        own = self.written.get(table)
        if own is not None and key in own:
            return own[key]
        return self._committed[table].get(key)

    def take_name(self, name: str) -> None:
        """Have the lock of a name for as long as the session lives."""
        if self._name is not None:
            self._name(name, True)

    def is_free(self, name: str) -> bool:
        """Tell whether no other session has the lock of a name."""
        return self._name is None or self._name(name, False)

    def all(self, table: str) -> dict[Key, Any]:
        """Return all rows of a table by key."""
        own = self.written.get(table)
        if not own:
            return self._committed[table]
        merged = {**self._committed[table], **own}
        return {key: row for key, row in merged.items() if row is not None}

    def put(self, table: str, key: Key, row: Any) -> None:
        """Write a row."""
        self.written.setdefault(table, {})[key] = row

    def save(self) -> None:
        """Set a savepoint."""
        self._savepoints.append({table: dict(rows) for table, rows in self.written.items()})

    def leave(self, *, back: bool) -> None:
        """Leave the last savepoint, going back to it or not."""
        saved = self._savepoints.pop()
        if back:
            self.written = saved


#: Takes transaction, arguments and now; returns rows.
Statement = Callable[..., list[Row]]


class Locks:
    """Row locks, shared or exclusive, of backends; and advisory ones, which are exclusive."""

    def __init__(self) -> None:
        self._holders: dict[Lock, dict[Backend, bool]] = {}
        self._waiting: deque[tuple[Backend, Lock, bool, Callable[[], None]]] = deque()

    def take(self, backend: Backend, lock: Lock, *, exclusive: bool) -> bool:
        """Take a lock if it is free for *backend*."""
        holders = self._holders.setdefault(lock, {})
        others = [has for holder, has in holders.items() if holder is not backend]
        if others and (exclusive or any(others)):
            return False
        holders[backend] = holders.get(backend, False) or exclusive
        return True

    def take_advisory(self, backend: Backend, key: Key) -> bool:
        """Take an advisory lock for as long as the backend is there, if it is free."""
        return self.take(backend, ("advisory", key), exclusive=True)

    def name(self, backend: Backend, name: str, takes: bool) -> bool:
        """Take the lock of a name for as long as the backend is there, or only look at it."""
        lock: Lock = ("name", name)
        if takes:
            return self.take(backend, lock, exclusive=True)
        return not self._holders.get(lock, {}).keys() - {backend}

    def wait(
        self, backend: Backend, lock: Lock, granted: Callable[[], None], *, exclusive: bool
    ) -> None:
        """Call *granted* once the lock was taken for *backend*."""
        self._waiting.append((backend, lock, exclusive, granted))

    def free(self, backend: Backend, *, advisory: bool) -> None:
        """Free what a backend holds, row locks alone unless it ends, and serve who waits."""
        for lock, holders in self._holders.items():
            if advisory or lock[0] not in {"advisory", "name"}:
                holders.pop(backend, None)
        if advisory:
            self._waiting = deque(one for one in self._waiting if one[0] is not backend)
        waiting, self._waiting = self._waiting, deque()
        while waiting:
            one = waiting.popleft()
            if self.take(one[0], one[1], exclusive=one[2]):
                one[3]()
            else:
                self._waiting.append(one)

    def give_up(self, granted: Callable[[], None]) -> bool:
        """Stop waiting; tell whether it still waited."""
        before = len(self._waiting)
        self._waiting = deque(one for one in self._waiting if one[3] is not granted)
        return len(self._waiting) < before


class Backend:
    """The server's end of one connection."""

    def __init__(self) -> None:
        #: None outside of a transaction.
        self.transaction: Transaction | None = None
        #: An error has spoilt it: nothing but a rollback is taken.
        self.has_failed = False
        self.depth = 0


class PostgresServer:
    """The server."""

    def __init__(
        self,
        loop: VirtualLoop,
        statements: Mapping[str, tuple[Statement, Callable[..., Sequence[tuple[Lock, bool]]]]],
        on_commit: Callable[[Tables, Tables], None],
    ) -> None:
        """
        Args:
            statements: By name what each does, and the locks it takes: whether exclusively.

            on_commit: Told what was there before a transaction and what it wrote, once it is
                committed.
        """
        self.loop = loop
        self.is_up = True
        self.life = 0
        self.links: dict[Link, None] = {}
        self.tables: dict[str, dict[Key, Any]] = {table: {} for table in TABLES}
        self._statements, self._on_commit = statements, on_commit
        self._backends: dict[Link, Backend] = {}
        self._locks = Locks()
        self._numbers = itertools.count(1)

    def lost(self, what: str) -> Exception:
        """Return what a client gets whose connection broke or did not come about."""
        return ConnectionResetError(what)

    def hang_up(self, link: Link) -> None:
        """End a client's backend: what it has not committed is gone."""
        backend = self._backends.pop(link, None)
        if backend is not None:
            backend.transaction = None
            self._locks.free(backend, advisory=True)

    def serve(self, link: Link, name: str, args: Sequence[Any], reply: Reply) -> None:
        """Execute a statement, or BEGIN, SAVE, RELEASE, COMMIT and their like."""
        backend = self._backends.setdefault(link, Backend())
        if name in {"BEGIN", "COMMIT", "ROLLBACK", "SAVE", "RELEASE", "BACK"}:
            self._control(backend, name, reply)
        elif backend.has_failed:
            reply(asyncpg.InFailedSQLTransactionError("the transaction is aborted"))
        elif name == "try_lock":
            reply([Row(locked=self._locks.take_advisory(backend, args))])
        else:
            statement, locks_of = self._statements[name]
            self._lock(
                backend,
                list(locks_of(*args)),
                lambda error: self._execute(backend, statement, args, error, reply),
            )

    def _control(self, backend: Backend, name: str, reply: Reply) -> None:
        if name == "BEGIN":
            backend.transaction = Transaction(self.tables, partial(self._locks.name, backend))
        elif name == "SAVE":
            assert backend.transaction is not None
            backend.transaction.save()
        elif name in {"RELEASE", "BACK"}:
            assert backend.transaction is not None
            backend.transaction.leave(back=name == "BACK")
            backend.has_failed = False
        else:
            self._end(backend, commits=name == "COMMIT" and not backend.has_failed)
        reply([])

    def _end(self, backend: Backend, *, commits: bool) -> None:
        transaction, backend.transaction = backend.transaction, None
        backend.has_failed = False
        if commits and transaction is not None:
            self._commit(transaction)
        self._locks.free(backend, advisory=False)

    def _commit(self, transaction: Transaction) -> None:
        before = dict(self.tables)
        for table, rows in transaction.written.items():
            committed = dict(self.tables[table])
            for key, row in rows.items():
                if row is None:
                    committed.pop(key, None)
                else:
                    committed[key] = row
            self.tables[table] = committed
        if transaction.written:
            self._on_commit(before, transaction.written)

    def _lock(
        self,
        backend: Backend,
        wanted: list[tuple[Lock, bool]],
        done: Callable[[Exception | None], None],
    ) -> None:
        """Take locks one after the other, waiting for each."""
        while wanted:
            (lock, exclusive), *rest = wanted
            if not self._locks.take(backend, lock, exclusive=exclusive):
                break
            wanted = rest
        else:
            done(None)
            return

        def granted() -> None:
            timer.cancel()
            self._lock(backend, wanted[1:], done)

        def give_up() -> None:
            if self._locks.give_up(granted):
                done(asyncpg.LockNotAvailableError("canceling statement due to lock timeout"))

        timer = self.loop.call_later(LOCK_TIMEOUT_S, give_up, context=Context())
        self._locks.wait(backend, lock, granted, exclusive=exclusive)

    def _execute(
        self,
        backend: Backend,
        statement: Statement,
        args: Sequence[Any],
        error: Exception | None,
        reply: Reply,
    ) -> None:
        own = backend.transaction
        transaction = own or Transaction(self.tables, partial(self._locks.name, backend))
        try:
            if error is not None:
                raise error
            rows = statement(transaction, *args, now_s=self.loop.time())
        except asyncpg.PostgresError as refusal:
            backend.has_failed = own is not None
            if own is None:
                self._locks.free(backend, advisory=False)
            reply(refusal)
            return
        if own is None:
            self._commit(transaction)
            self._locks.free(backend, advisory=False)
        reply(rows)

    # Faults.

    def stop(self) -> None:
        """End the process: all that was not committed is gone."""
        self.is_up = False
        self.life += 1
        for link in list(self.links):
            link.cut()
        for link in list(self._backends):
            self.hang_up(link)

    def start(self) -> None:
        """Start it with what is committed."""
        self.is_up = True

    def snapshot(self) -> dict[str, dict[Key, Any]]:
        """Return what is committed; tables are never changed in place."""
        return dict(self.tables)

    def restore(self, snapshot: dict[str, dict[Key, Any]]) -> None:
        """Go back in time (F31); the server must be stopped."""
        self.tables = dict(snapshot)
