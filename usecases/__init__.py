"""
What one can do here, by concept: book, hold, wait, publish, check in, and so on.

A use case takes plain values and who asks, holds the rules (whose a thing is, limits, what is
shown, idempotency) and returns what is told (`usecases.told`) or a denial (`usecases.denials`). It
knows no HTTP, no SQL and no Redis command: `api` is one face of it, and pages can be another.
"""
