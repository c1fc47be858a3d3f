"""
A model of one Redis master with `appendfsync always`: the keys of one shard, a log, and its losses.

Each write is one state of a short history that a restart can fall back in, as a cut log or a
stale replica does. Scripts live in memory alone, and the run id with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Protocol

from redis import exceptions as errors

from engine import keys
from engine.guard import Facts
from engine.homes import ONLY_SERVER
from engine.records import FIELD, last_seq
from engine.values import member, parse_entry
from tests.determinism.loop import VirtualLoop
from tests.determinism.network import Link, Reply

if TYPE_CHECKING:
    from tests.determinism.replication import Pair

#: States that a restart can fall back to.
HISTORY_MAX = 24
START_MS = 1_800_000_000_000

CONFIG = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "aof-load-truncated": "yes",
    "maxmemory-policy": "noeviction",
    "propagation-error-behavior": "panic",
    "enable-debug-command": "no",
    "maxmemory": "1000000000",
}


#: What level `replicated` asks for.
REPLICATED = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}
#: Commands that change something, as far as replicas refuse them.
WRITES = frozenset({"HSET", "UNLINK", "EVALSHA", "EVAL"})


@dataclass(slots=True)
class State:
    """What is on disk: the shard's keys, as far as the simulation has them."""

    meta: dict[str, str] = field(default_factory=dict)
    #: By epoch: (seq of the last record, text of the records) per script call.
    journals: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    #: The one event; empty if it is not loaded.
    stock: dict[str, str] = field(default_factory=dict)
    #: booking_id -> row, in the form of docs/DATA.md.
    bookings: dict[str, str] = field(default_factory=dict)
    #: hold_id -> row, likewise.
    holds: dict[str, str] = field(default_factory=dict)
    #: entry_id -> row, likewise.
    entries: dict[str, str] = field(default_factory=dict)

    def copy(self) -> State:
        """Return a state of its own."""
        journals = {epoch: list(entries) for epoch, entries in self.journals.items()}
        rows = (self.stock, self.bookings, self.holds, self.entries)
        return State(dict(self.meta), journals, *map(dict, rows))


class Judge(Protocol):
    """Looks at all that happens to the sale; see `tests.determinism.judge`."""

    def wrote(self, server: RedisServer) -> None:
        """Look at a server's state after a write."""

    def appended(self, server: RedisServer, epoch: int, seq: int, raw: bytes) -> None:
        """Take a record that a script has journalled."""

    def told(self, epoch: int, persisted_seq: int, trim_seq: int) -> None:
        """Take what Redis is told that PostgreSQL has."""


#: Takes the server, keys and arguments; changes the state and returns the reply.
Script = Callable[["RedisServer", Sequence[str], Sequence[str]], Any]


class RedisServer:
    """The server; its clock is the loop's."""

    def __init__(
        self,
        loop: VirtualLoop,
        scripts: Mapping[str, Script],
        judge: Judge,
        name: str = ONLY_SERVER,
        mark: str = "",
    ) -> None:
        """
        Args:
            scripts: What each script does; `claim` is called by its text, the others by SHA-1.

            judge: Sees each write.

            name: What it is called in settings and reigns.

            mark: Tells servers of one name apart.
        """
        self._mark = mark
        self.loop, self.judge, self.name = loop, judge, name
        #: Whom it belongs to as a master or a replica, if to anybody.
        self.pair: Pair | None = None
        self.role = "master"
        self.state = State()
        self.is_up = True
        self.life = 0
        self.links: dict[Link, None] = {}
        self._scripts = scripts
        #: SHA-1 -> name, of the scripts that are loaded.
        self._loaded: dict[str, str] = {}
        self._identities = 0
        self.run_id = self._identity("run")
        self.replid = self._identity("history")
        self._history: deque[State] = deque([State()], maxlen=HISTORY_MAX)
        self._blocked: list[Callable[[], None]] = []

    @property
    def now_ms(self) -> int:
        """The server's clock."""
        return START_MS + int(self.loop.time() * 1000)

    @property
    def facts(self) -> Facts:
        """What it says of itself."""
        return Facts(
            product="valkey",
            version=(9, 1, 2),
            role=self.role,
            run_id=self.run_id,
            replid=self.replid,
            config=CONFIG if self.pair is None else CONFIG | REPLICATED,
        )

    def lost(self, what: str) -> Exception:
        """Return what a client gets whose connection broke or did not come about."""
        return errors.ConnectionError(what)

    def hang_up(self, link: Link) -> None:
        """Nothing of a client is kept."""

    def wrote(self) -> None:
        """Keep what was written, before it is acknowledged."""
        self._history.append(self.state.copy())
        self.judge.wrote(self)
        if self.pair is not None:
            self.pair.wrote(self, self._history[-1])
        blocked, self._blocked = self._blocked, []
        for look_again in blocked:
            look_again()

    # Commands.

    def serve(self, words: Sequence[Any], reply: Reply) -> None:
        """Execute a command; reply, at once but for a read that blocks."""
        try:
            if words[0] == "XREAD":
                self._read(words[1], words[2], words[3], words[4], reply)
            elif words[0] == "PIPELINE" and words[-1][0] == "WAIT":
                self._wait(words[1:-1], words[-1][2], reply)
            else:
                reply(self._execute(*words))
        except errors.ResponseError as error:
            reply(error)

    def require_writable(self) -> None:
        """
        Refuse writes at a replica, and at a master without one where there must be one.

        Raises:
            ResponseError: so it is.
        """
        if self.role != "master":
            raise errors.ReadOnlyError("You can't write against a read only replica.")
        if self.pair is not None and not self.pair.is_followed(self):
            raise errors.ResponseError("NOREPLICAS Not enough good replicas to write.")

    def _execute(self, verb: str, *words: Any) -> Any:  # noqa: PLR0911  One for each command.
        meta = self.state.meta
        if verb in WRITES:
            self.require_writable()
        match verb:
            case "HMGET" | "HGET" | "ZSCORE" | "ZLEXCOUNT" | "ZRANGEBYLEX":
                return self._look_up(verb, *words)
            case "HSET":
                meta[words[1]] = words[2]
                self.wrote()
                return 0
            case "EXISTS":
                return int(bool(meta))
            case "TIME":
                return divmod(self.now_ms * 1000, 1_000_000)
            case "XRANGE":
                return self._entries(words[0], words[1], words[2])
            case "UNLINK":
                for name in words:
                    self.state.journals.pop(epoch_of(name), None)
                self.wrote()
                return len(words)
            case "SCRIPT LOAD":
                sha = sha1(words[0].encode(), usedforsecurity=False).hexdigest()
                self._loaded[sha] = words[0].rpartition("\n")[2]
                return sha
            case "SCRIPT EXISTS":
                return [sha in self._loaded for sha in words]
            case "PIPELINE":
                return self._pipeline(words)
            case "PING":
                return True
            case "EVALSHA":
                if words[0] not in self._loaded:
                    raise errors.NoScriptError("No matching script.")
                return self._run(self._loaded[words[0]], words)
            case "EVAL":
                return self._run("claim", words)
            case _:
                raise NotImplementedError(verb)

    def _pipeline(self, calls: Sequence[Any]) -> list[Any]:
        """Execute several commands, or one transaction."""
        if calls[0] != ("MULTI",):
            return [self._answer(*call) for call in calls]
        replies = [self._answer(*call) for call in calls[1:-1]]
        return [b"OK", *(b"QUEUED" for _ in replies), replies]

    def _look_up(self, verb: str, key: str, *words: Any) -> Any:
        """Read rows of a hash, or where an entry stands on its list."""
        if verb in {"HMGET", "HGET"}:
            rows: dict[str, str] = getattr(self.state, key.rpartition(":")[2])
            names = words[0] if isinstance(words[0], list) else words
            found = [_bytes(rows.get(_text(name))) for name in names]
            return found if verb == "HMGET" else found[0]
        if verb == "ZSCORE":
            return b"0" if words[0] in self._waiting() else None
        first, last = words[0][1:], words[1][1:]
        ahead = [name for name in self._waiting() if first <= name < last]
        if verb == "ZLEXCOUNT":
            return len(ahead) + 1
        return [name.encode() for name in ahead]

    def _waiting(self) -> list[str]:
        """Return those who wait, as they stand in the sorted set."""
        entries = {own_id: parse_entry(row.encode()) for own_id, row in self.state.entries.items()}
        return sorted(
            member(own_id, entry) for own_id, entry in entries.items() if entry.status == "waiting"
        )

    def _answer(self, verb: str, *words: Any) -> Any:
        """Execute one command of several; return its error as what it replied."""
        try:
            return self._execute(verb, *words)
        except errors.ResponseError as error:
            return error

    def _wait(self, calls: Sequence[Any], timeout_ms: int, reply: Reply) -> None:
        """Execute commands, and reply once the replica has what they wrote."""
        answers = [self._answer(*call) for call in calls]
        if self.pair is None:
            reply([*answers, 0])
        else:
            self.pair.wait(self, timeout_ms / 1000, lambda count: reply([*answers, count]))

    def _run(self, name: str, words: Sequence[Any]) -> Any:
        count = int(words[1])
        names, args = words[2 : 2 + count], list(map(_text, words[2 + count :]))
        return self._scripts[name](self, names, args)

    def _read(
        self, name: str, after_seq: int, count: int, block_ms: int | None, reply: Reply
    ) -> None:
        found = self._entries(name, after_seq, count)
        if found or block_ms is None:
            reply([[name.encode(), found]] if found else [])
            return
        deadline_s = self.loop.time() + block_ms / 1000
        life = self.life

        def look_again() -> None:
            nonlocal deadline_s
            found = self._entries(name, after_seq, count)
            if self.life == life and deadline_s and (found or self.loop.time() >= deadline_s):
                deadline_s = 0.0
                reply([[name.encode(), found]] if found else [])
            elif deadline_s:
                self._blocked.append(look_again)

        self._blocked.append(look_again)
        self.loop.call_at(deadline_s, look_again)

    def _entries(
        self, name: str, after_seq: int, count: int
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        entries = self.state.journals.get(epoch_of(name), [])
        later = [(seq, text) for seq, text in entries if seq > after_seq]
        return [(b"%d-1" % seq, {FIELD: text}) for seq, text in later[:count]]

    # Faults.

    def stop(self) -> None:
        """End the process: connections break, scripts are forgotten."""
        self.is_up = False
        self._end_connections()

    def start(self) -> None:
        """Start a process with what is on disk."""
        self._loaded.clear()
        self.run_id = self._identity("run")
        self.replid = self._identity("history")
        self.is_up = True

    def take(self, state: State) -> None:
        """Have what the master has, as its replica; it is not changed here."""
        self.state = state
        self._history.append(state)

    def take_over(self) -> None:
        """Be a master from now on, with a history of its own."""
        self.role, self.state = "master", self.state.copy()
        self.replid = self._identity("history")

    def forget_scripts(self) -> None:
        """Do as SCRIPT FLUSH."""
        self._loaded.clear()

    def lose(self, writes: int) -> bool:
        """Forget the last writes, as a cut log or a stale replica does; tell whether any was."""
        kept = max(1, len(self._history) - writes)
        while len(self._history) > kept:
            self._history.pop()
        before, self.state = self.state, self._history[-1].copy()
        return before != self.state

    def empty(self) -> bool:
        """Forget everything; tell whether there was anything."""
        before, self.state = self.state, State()
        self._history.append(State())
        return before != self.state

    def change_history(self) -> None:
        """Get another replication id without a restart; connections end, scripts stay (F12)."""
        self.replid = self._identity("history")
        self._end_connections()

    def _end_connections(self) -> None:
        self.life += 1
        self._blocked.clear()
        for link in list(self.links):
            link.cut()

    def _identity(self, kind: str) -> str:
        self._identities += 1
        return f"{kind}-{self.name}{self._mark}-{self._identities}"


def epoch_of(journal: str) -> int:
    """Return the epoch of a journal, by its key."""
    return int(journal.rpartition(":")[2])


def seq_of(journal_id: str) -> int:
    """Return the seq of a journal id, or of an exclusive bound."""
    return last_seq(journal_id.removeprefix("(").encode())


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _bytes(word: str | None) -> bytes | None:
    return None if word is None else word.encode()


assert epoch_of(keys.journal(0, 7)) == 7
