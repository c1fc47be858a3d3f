#!lua flags=allow-oom
--[[
shut: shut one event, to be rebuilt from PostgreSQL while the others sell.

Guarantees   From here on no script changes anything of the event: of its keys nothing is left but
             marks, which say that it is damaged (`lua/lib/whole.lua`). What was written before is
             in the journal, up to the record that is returned. Of two rebuilds of one event the
             later one goes on: it has the name under which a rebuild writes (F41).
Atomicity    All or nothing; every check precedes the first write.
Idempotency  Shut again, it is another rebuild's.
Cost         O(1): the memory of the keys is freed in the background.

KEYS (one hash tag: the shard's)
  1 meta      hash  claim, state, epoch, seq                                   read
  2 due       zset  event_id -> when its next hold runs out, Unix ms           write
  3 events    set   ids of the loaded events                                   write
  4 shut      hash  the stock as it is rebuilt, and the rebuild's name         write
  5..15 event keys  the eleven of an event, in the order of `engine.keys.EventKeys`

ARGV
  1 claim     int     epoch of the opening, or of the recovery, in which the rebuild acts
  2 state     string  open or recovering, as `meta` must say
  3 event_id  string
  4 name      string  of the rebuild

Returns epoch, seq: the last record there is; and the version that the event's seat map had, or 0

Errors       FENCED claim state: the shard is not what the caller believes.
Emits        nothing
]]

-- Bind.
local meta, due, listed, shut = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local claim, state, event_id, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- Fence.
local door = redis.call('HMGET', meta, 'claim', 'state', 'epoch', 'seq')
if door[1] ~= claim or door[2] ~= state then
  return redis.error_reply('FENCED ' .. tostring(door[1]) .. ' ' .. tostring(door[2]))
end
redis.call('ZCARD', due)
redis.call('SISMEMBER', listed, event_id)
local is_map = redis.call('TYPE', KEYS[11]).ok == 'hash'
local version = is_map and redis.call('HGET', KEYS[11], 'version') or '0'

-- Apply.
redis.call('UNLINK', shut, unpack(KEYS, 5))
for _, place in ipairs({ 6, 7, 8, 11, 13, 14, 15 }) do redis.call('HSET', KEYS[place], '!', '1') end
redis.call('HSET', shut, 'rebuild', name)
redis.call('ZREM', due, event_id)
redis.call('SADD', listed, event_id)

-- Reply.
return { door[3], door[4], version }
