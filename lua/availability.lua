#!lua flags=no-writes
--[[
availability: what is left of each tier of some events, at one moment of the journal.

Guarantees   I1: all counters of one event are of the same moment.
Atomicity    Reads only.
Idempotency  Nothing changes.
Cost         O(events * tiers); 2 reads per call and 1 per event.

KEYS (one hash tag: the shard's; 2 repeats for each event, up to 128)
  1 meta      hash    epoch, state, seq, persisted_seq, backlog_max   read
  2 stock     hash    the event's stock                               read

ARGV
  1 epoch     string  epoch[:seq] the caller believes in

Returns one array per event, in order (first that applies)
  NOT_ON_SALE
  STOCK       seq, at_ms, field, value, field, value, ...

Errors       FENCED epoch state: the door is shut.
Emits        nothing
]]

-- Bind.
local meta = KEYS[1]
local epoch, seen_seq = read_epoch(ARGV[1])

-- Fence.
local shard, shut = enter(meta, nil, epoch, seen_seq)
if shut then return shut end

-- Reply.
local replies = {}
for n = 2, #KEYS do
  local fields = redis.call('HGETALL', KEYS[n])
  if #fields == 0 then
    replies[n - 1] = { 'NOT_ON_SALE' }
  else
    replies[n - 1] = { 'STOCK', string.format('%.0f', shard.seq), shard.at_ms, unpack(fields) }
  end
end
return replies
