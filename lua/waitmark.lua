#!lua
--[[
waitmark: make one small write, for a `WAIT` behind it on the same connection to wait for.

Guarantees   I17: a Redis that is not of the caller's epoch marks nothing, so that its replicas
             vouch for nothing.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  A repetition is one more mark, and changes nothing else.
Cost         1 read and 1 write.

KEYS (one hash tag: the shard's)
  1 meta      hash    epoch, state, seq, persisted_seq, backlog_max   read, write
  2 journal   stream  one record per change

ARGV
  1 epoch     string     epoch[:seq] the caller believes in

Returns (first that applies)
  MARKED      marks    how many there were, in the life of this meta

Errors       FENCED epoch state: the door is shut.
Emits        nothing
]]

-- Bind.
local meta, journal = KEYS[1], KEYS[2]
local epoch, seen_seq = read_epoch(ARGV[1])

-- Fence.
local _, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end

-- Apply. A real write, since Valkey's `WAIT` looks at nothing else of a connection.
local marks = redis.call('HINCRBY', meta, 'waitmarks', 1)

-- Reply.
return { 'MARKED', marks }
