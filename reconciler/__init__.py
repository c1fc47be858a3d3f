"""
The reconciler: proves that Redis and PostgreSQL agree, and opens shards after a fault.

`check` only reads and may run at any time; `recovery` is the one that may change who sells. An
invariant is a function of a frozen view (`invariants`, `view`), so that it can be tested and
reused without servers. Never repairs by overwriting one store from the other: what is wrong
is found in the journal first, and mended from it (docs/RELIABILITY.md, "Recovery").
"""
