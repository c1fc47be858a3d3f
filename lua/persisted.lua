#!lua flags=allow-oom
--[[
persisted: note what PostgreSQL has, trim old records from the journal, and stop sales if told to.

Guarantees   I7: a record is trimmed only when PostgreSQL has it; the note never goes back. I17: a
             shard that is `frozen` or `lost` is opened again by a recovery alone.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  The same or an older seq changes nothing.
Cost         3 reads and 2 writes, and O(records trimmed).

KEYS (one hash tag: the shard's)
  1 meta             hash    epoch, state, seq, what PostgreSQL has, limits   read, write
  2 journal          stream  one record per change                           read, trim

ARGV
  1 epoch            string  epoch[:seq] the caller believes in
  2 persisted_seq    int     0.. the checkpoint, after its commit
  3 trim_seq         int     0..persisted_seq; records up to this one may go
  4 persisted_bytes  int     0.. bytes of all records up to the checkpoint
  5 verdict          string  open, or why sales stop: frozen (a human must look), or lost (records
                             are gone from the journal)

Returns (first that applies)
  PERSISTED          seq     the last record there is

Errors       FENCED epoch state: another epoch, or under recovery. BADARG: a bug in the caller.
Emits        nothing
]]

-- Bind.
local meta, journal = KEYS[1], KEYS[2]
local epoch, seen_seq = read_epoch(ARGV[1])
local persisted_seq, trim_seq = tonumber(ARGV[2]), tonumber(ARGV[3])
local persisted_bytes, verdict = tonumber(ARGV[4]), ARGV[5]
if not (persisted_seq and trim_seq) or trim_seq < 0 or trim_seq > persisted_seq
  or persisted_seq % 1 ~= 0 or trim_seq % 1 ~= 0 then
  return redis.error_reply('BADARG trim ' .. tostring(ARGV[3]) .. ' of ' .. tostring(ARGV[2]))
end
if not persisted_bytes or persisted_bytes < 0 or persisted_bytes % 1 ~= 0 then
  return redis.error_reply('BADARG bytes ' .. tostring(ARGV[4]))
end
if verdict ~= 'open' and verdict ~= 'frozen' and verdict ~= 'lost' then
  return redis.error_reply('BADARG verdict ' .. tostring(verdict))
end

-- Fence and check. Sales may have been stopped; what was sold is persisted all the same.
local door = redis.call('HMGET', meta, 'epoch', 'state', 'seq', 'persisted_seq', 'trimmed_seq',
  'persisted_bytes', 'backlog_bytes_max', 'oldest_at_ms')
local state = door[2]
if door[1] ~= epoch or state ~= 'open' and state ~= 'frozen' and state ~= 'lost' then
  return redis.error_reply('FENCED ' .. tostring(door[1]) .. ' ' .. tostring(state))
end
local seq = tonumber(door[3])
if seq < seen_seq then
  return redis.error_reply('FENCED ' .. epoch .. ' lost: it ends at ' .. door[3])
end
if persisted_seq > seq then
  return redis.error_reply('BADARG persisted ' .. ARGV[2] .. ' of ' .. tostring(seq))
end
persisted_seq = math.max(persisted_seq, tonumber(door[4]))
trim_seq = math.max(trim_seq, tonumber(door[5] or 0))
persisted_bytes = math.max(persisted_bytes, tonumber(door[6] or 0))
local next_id = string.format('%.0f-1', persisted_seq + 1)
local oldest = redis.call('XRANGE', journal, next_id, '+', 'COUNT', 1)[1]
local oldest_at_ms = oldest and string.match(oldest[2][2], '"at_ms":(%d+)') or door[8] or '0'
local fields = {
  'persisted_seq', string.format('%.0f', persisted_seq),
  'trimmed_seq', string.format('%.0f', trim_seq),
  'persisted_bytes', string.format('%.0f', persisted_bytes), 'oldest_at_ms', oldest_at_ms,
  'state', state == 'open' and verdict or state,
}
if door[7] then
  fields[#fields + 1] = 'bytes_end'
  fields[#fields + 1] = string.format('%.0f', persisted_bytes + tonumber(door[7]))
end

-- Apply.
redis.call('XTRIM', journal, 'MINID', string.format('%.0f-1', trim_seq + 1))
redis.call('HSET', meta, unpack(fields))

-- Reply.
return { 'PERSISTED', string.format('%.0f', seq) }
