"""
The persister: journal to PostgreSQL, in order, exactly once; one per shard.

Where to read on is decided by PostgreSQL's checkpoint alone (docs/RELIABILITY.md, "The persister").
"""
