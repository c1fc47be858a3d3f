#!lua
--[[
load: write rows of a shard that is being rebuilt, for the recovery that claims it.

Guarantees   A recovery that has lost its claim changes nothing any more, however late it wakes up
             (F41): claims only ever grow, and the shard is open again before anybody sells.
Atomicity    One command.
Idempotency  That of the command; a rebuild begins by removing what it writes.
Cost         O(words), at most 1000.

KEYS (one hash tag: the shard's)
  1 meta      hash    claim, state                     read
  2 target    any     a key of the shard               write

ARGV
  1 claim     int     epoch of the recovery
  2 verb      string  HSET, HINCRBY, SADD, ZADD, UNLINK
  3 words     ...     what follows the key

Returns the command's reply.

Errors       FENCED claim state: the claim is lost, or the shard is not being rebuilt.
Emits        nothing
]]

-- Bind.
local meta, target = KEYS[1], KEYS[2]
local claim, verb = ARGV[1], ARGV[2]

-- Fence.
local door = redis.call('HMGET', meta, 'claim', 'state')
if door[1] ~= claim or door[2] ~= 'rebuilding' then
  return redis.error_reply('FENCED ' .. tostring(door[1]) .. ' ' .. tostring(door[2]))
end

-- Apply.
return redis.call(verb, target, unpack(ARGV, 3))
