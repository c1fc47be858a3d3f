"""
The three approaches that this project was asked to beat, as one would really write them.

A version column (`version.py`), a lock in Redis (`redis_lock.py`), a row lock (`row_lock.py`):
each with idempotency and a limit per person, behind the same HTTP layer as the service
(`__main__.py`). They share tables of their own (`tables.py`) and never oversell either; what
differs is how often somebody gets through.
"""
