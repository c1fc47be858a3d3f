"""
Rig R5: deterministic simulation of workers, persisters and coordinators (docs/RELIABILITY.md).

The code of the three is the real one, down to its `await`s. Below it, in place of sockets and of
time, are models of Redis and of PostgreSQL and a loop of one thread, whose every step follows from
a seed. Each `await` of a server is a place where a fault may strike.
"""
