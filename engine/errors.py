"""
What can go wrong below the rules of selling.

EngineError
├── BadCommand          the caller broke a script's contract: a bug
├── CorruptRecord       a journal record does not decode or fails its check
├── ShardUnavailable    nothing was changed
│   ├── ShardRecovering the shard's door is shut
│   ├── EventRecovering the event has lost a key, and is being rebuilt
│   └── Overloaded      too many commands wait in this process
└── OutcomeUnknown      sent, but no answer: it may have happened; repeat with the same key

Refusals (sold out, limit reached) are values, not exceptions: see `engine.status`.
"""

from __future__ import annotations


class EngineError(Exception):
    """The engine could not do its work."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class BadCommand(EngineError):
    """A script refused its arguments: a bug in the caller."""


class CorruptRecord(EngineError):
    """A journal record does not decode, or does not match its check."""


class ShardUnavailable(EngineError):
    """The shard takes no commands now; nothing was changed."""


class ShardRecovering(ShardUnavailable):
    """The shard's door is shut while it is checked or rebuilt; nothing was changed."""


class EventRecovering(ShardUnavailable):
    """The event has lost a part in Redis and is being rebuilt; nothing was changed."""


class Overloaded(ShardUnavailable):
    """Too many commands wait in this process; nothing was changed."""


class OutcomeUnknown(EngineError):
    """The command was sent but not answered; it may have happened. Repeat it with the same key."""


class KeysUnknown(Exception):
    """PostgreSQL has not told for too long which keys there are: nobody can say."""
