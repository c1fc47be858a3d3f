"""
Homes: the Redis servers by name, and which of them a shard lives on (I20).

PostgreSQL says where a shard lives, under the coordinator's claim, and a reign carries it. A
process whose settings lack the name keeps that shard's door shut: it never guesses a server.
"""

from __future__ import annotations

from typing import NamedTuple

#: Name of a server that was given none, and home of the shards of who has one server alone.
ONLY_SERVER = "0"


class Published(NamedTuple):
    """What PostgreSQL says of one of the shards that there are."""

    shard: int
    #: 0 while nobody has opened it.
    epoch: int
    is_open: bool
    home: str
    #: Whether it takes only events that are put there by hand.
    is_reserved: bool
