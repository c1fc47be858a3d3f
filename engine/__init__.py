"""
The rules of selling: keys, statuses, records, script calls, the coalescer and the fence.

Knows Redis and nothing else: no HTTP, no SQL, no other room of the house. Whoever sells calls
`engine.engine.Engine`; whoever follows the journal reads `engine.records`.
"""
