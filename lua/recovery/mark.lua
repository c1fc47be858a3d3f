#!lua flags=allow-oom
--[[
mark: mark the keys of an event of older code, so that one that is lost is missed from then on.

Guarantees   Marks are put where nothing is missing: the caller has looked, in a shard that is shut.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  A key that is marked stays so.
Cost         O(1): 11 writes.

KEYS (one hash tag: the shard's)
  1 meta      hash  claim, state                                               read
  2..12 event keys  the eleven of an event, in the order of `engine.keys.EventKeys`

ARGV
  1 claim     int   epoch of the recovery

Returns nothing

Errors       FENCED claim state: the shard is not shut, or claimed by another.
Emits        nothing
]]

-- Bind.
local meta, claim = KEYS[1], ARGV[1]
local hashes, sets = { 2, 3, 4, 5, 8, 10, 11, 12 }, { [6] = '+inf', [7] = '+inf', [9] = '0' }

-- Fence, and see that no write will fail.
local door = redis.call('HMGET', meta, 'claim', 'state')
if door[1] ~= claim or door[2] ~= 'recovering' then
  return redis.error_reply('FENCED ' .. tostring(door[1]) .. ' ' .. tostring(door[2]))
end
for _, n in ipairs(hashes) do redis.call('HEXISTS', KEYS[n], '!') end
for n in pairs(sets) do redis.call('ZCARD', KEYS[n]) end

-- Apply.
for _, n in ipairs(hashes) do redis.call('HSET', KEYS[n], '!', '1') end
for n, score in pairs(sets) do redis.call('ZADD', KEYS[n], score, '!') end
