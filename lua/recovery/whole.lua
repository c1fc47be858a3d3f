#!lua flags=allow-oom
--[[
whole: say of some events whether they have all their keys; list again what a list of the shard has
lost of them.

Guarantees   What is lost is told, and never mended here: that takes PostgreSQL. The lists of the
             shard say nothing that the events' own keys do not, so that they are mended at once.
             F41: only for the opening, or the recovery, that has the shard.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  What is listed already stays so.
Cost         O(events): 14 reads each, about 6 us; writes where something was not listed.

KEYS (one hash tag: the shard's)
  1 meta        hash  claim                                               read
  2 events      set   ids of the loaded events                            read, write
  3 due         zset  event_id -> when its next hold runs out, Unix ms    read, write
  4 cancelling  set   events that are cancelled and not empty yet         read, write
  5..15 event   keys  the eleven of an event, in the order of `engine.keys.EventKeys`; repeated

ARGV
  1 claim       int     epoch of the opening, or of the recovery
  2 event_id    string  one per event, in the order of KEYS

Returns one text per event: empty if it is whole; `unmarked` if it was published by code that marks
no keys; else which of its keys are lost, in words

Errors       FENCED claim: the shard is not the caller's.
Emits        nothing
]]

-- Bind.
local names = { 'stock', 'bookings', 'persons', 'holds', 'deadlines', 'ended', 'seats', 'waitlist',
  'entries', 'tickets', 'promos' }
local sets = { deadlines = true, ended = true, waitlist = true }
local meta, listed, due, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- Fence.
local claim = redis.call('HGET', meta, 'claim')
if claim ~= ARGV[1] then return redis.error_reply('FENCED ' .. tostring(claim)) end

-- Check.
local function has_mark(name, key)
  if sets[name] then return redis.call('ZSCORE', key, '!') end
  return redis.call('HEXISTS', key, '!') == 1
end

-- Tell whether places of a cancelled event are still taken, or waited for.
local function is_taken(stock, tier_count)
  local fields, taken = {}, 0
  for n = 1, tonumber(tier_count) do
    for _, name in ipairs({ '.held', '.sold', '.waiting' }) do fields[#fields + 1] = n .. name end
  end
  for _, figure in ipairs(redis.call('HMGET', stock, unpack(fields))) do
    taken = taken + tonumber(figure or 0)
  end
  return taken > 0
end

local replies, unlisted, forgotten, lost_sight = {}, {}, {}, {}
for n = 1, #ARGV - 1 do
  local lost, event_id, first = {}, ARGV[n + 1], 4 + 11 * (n - 1)
  local stock, deadlines = KEYS[first + 1], KEYS[first + 5]
  local kept = redis.call('HMGET', stock, 'fingerprint', '!', 'cancelled_at_ms', 'tier_count')
  if kept[1] and not kept[2] then
    replies[n] = 'unmarked'
  else
    for place, name in ipairs(names) do
      if not has_mark(name, KEYS[first + place]) then lost[#lost + 1] = name end
    end
    replies[n] = table.concat(lost, ' ')
  end
  if kept[1] then
    if redis.call('SISMEMBER', listed, event_id) == 0 then unlisted[#unlisted + 1] = event_id end
    if redis.call('ZCOUNT', deadlines, '-inf', '(+inf') > 0
      and not redis.call('ZSCORE', due, event_id) then
      forgotten[#forgotten + 1] = event_id
    end
    if kept[3] and redis.call('SISMEMBER', cancelling, event_id) == 0
      and is_taken(stock, kept[4]) then
      lost_sight[#lost_sight + 1] = event_id
    end
  end
end

-- Apply.
for _, event_id in ipairs(unlisted) do redis.call('SADD', listed, event_id) end
for _, event_id in ipairs(forgotten) do redis.call('ZADD', due, 'LT', '0', event_id) end
for _, event_id in ipairs(lost_sight) do redis.call('SADD', cancelling, event_id) end

-- Reply.
return replies
