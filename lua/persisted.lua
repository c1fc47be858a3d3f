#!lua flags=allow-oom
--[[
persisted: note that PostgreSQL has all records up to a seq, and trim old ones from the journal.

Guarantees   I7: a record is trimmed only when PostgreSQL has it; the note never goes back.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  The same or an older seq changes nothing.
Cost         1 read and 2 writes, and O(records trimmed).

KEYS (one hash tag: the shard's)
  1 meta           hash    epoch, state, seq, persisted_seq, backlog_max   read, write
  2 journal        stream  one record per change                           trim

ARGV
  1 epoch          string  epoch[:seq] the caller believes in
  2 persisted_seq  int     0.. the checkpoint, after its commit
  3 trim_seq       int     0..persisted_seq; records up to this one may go

Returns (first that applies)
  PERSISTED        seq     the last record there is

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        nothing
]]

-- Bind.
local meta, journal = KEYS[1], KEYS[2]
local epoch, seen_seq = read_epoch(ARGV[1])
local persisted_seq, trim_seq = tonumber(ARGV[2]), tonumber(ARGV[3])
if not (persisted_seq and trim_seq) or trim_seq < 0 or trim_seq > persisted_seq
  or persisted_seq % 1 ~= 0 or trim_seq % 1 ~= 0 then
  return redis.error_reply('BADARG trim ' .. tostring(ARGV[3]) .. ' of ' .. tostring(ARGV[2]))
end

-- Fence and check.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
if persisted_seq > shard.seq then
  return redis.error_reply('BADARG persisted ' .. ARGV[2] .. ' of ' .. tostring(shard.seq))
end

local known = redis.call('HMGET', meta, 'persisted_seq', 'trimmed_seq')
local persisted_text = string.format('%.0f', math.max(persisted_seq, tonumber(known[1])))
local trimmed_text = string.format('%.0f', math.max(trim_seq, tonumber(known[2] or 0)))

-- Apply.
redis.call('XTRIM', journal, 'MINID', string.format('%.0f-1', trim_seq + 1))
redis.call('HSET', meta, 'persisted_seq', persisted_text, 'trimmed_seq', trimmed_text)

-- Reply.
return { 'PERSISTED', string.format('%.0f', shard.seq) }
