#!lua flags=allow-oom
--[[
expire: end overdue holds of one event, and forget holds that ended long ago.

Guarantees   I1 conservation; I10 held -> free by the deadline; Redis time alone decides, but of a
             hold that was made by a clock which has been set back since (F58).
Atomicity    All or nothing; every check precedes the first write.
Idempotency  A hold ends once; nothing overdue, nothing changed but the event's next date.
Cost         O(holds_max); at most 8 reads and 10 writes, and 1 XADD; 2 reads with `ahead_ms`.
             Where somebody waits, up to 20 entries of each tier are read and offered places.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says

ARGV
  1 epoch        string  epoch[:seq] the caller believes in
  2 event_id     string  which event
  3 holds_max    int     1..1000 holds to end, and as many to forget
  4 forget_ms    int     1.. how long an ended hold is remembered
  5 ahead_ms     int     0.. by how much the clock was ahead that made holds later than now

Returns (first that applies)
  EVENT_DAMAGED                       a key of it is lost, and it is being rebuilt
  SWEPT          expired, forgotten   how many

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `expired`: hold_id, user_id, items
             Where somebody waits: `offered`, `stalled`, `left`, as `join`
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local event, holds_max, forget_ms = events[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local ahead_ms = tonumber(ARGV[5] or 0)
if #events ~= 1 or not holds_max or holds_max < 1 or holds_max > 1000 or not forget_ms
  or not ahead_ms or ahead_ms < 0 then
  return redis.error_reply('BADARG sweep')
end

-- Fence.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
if event.is_damaged then return { 'EVENT_DAMAGED' } end

-- Check: what is overdue, what is forgotten, and when to come again.
local forgotten = redis.call('ZRANGEBYSCORE', event.ended, '-inf', shard.at_ms - forget_ms,
  'LIMIT', 0, holds_max)
local oldest = redis.call('ZRANGE', event.ended, #forgotten, #forgotten, 'WITHSCORES')
redis.call('HEXISTS', event.holds, '')
redis.call('ZSCORE', due, event.event_id)
local expired = reclaim(shard, event, holds_max)
local ahead = ahead_ms > 0 and reclaim_ahead(shard, event, ahead_ms, holds_max) or 0
if #redis.call('ZRANGEBYLEX', event.waitlist, '[0', '+', 'LIMIT', 0, 1) > 0 then
  -- `promote` looks at tiers that were read: places may be free since nobody could be promoted.
  local tier_nos = {}
  for tier_no = 1, tonumber(redis.call('HGET', event.stock, 'tier_count') or 0) do
    tier_nos[string.format('%d', tier_no)] = true
  end
  read_stock(event, tier_nos)
end
promote(shard, events)
local following = redis.call('ZRANGE', event.deadlines, expired, expired, 'WITHSCORES')
-- Behind all others stands the mark of the key (`look`), which is no hold.
local next_ms = following[1] ~= '!' and tonumber(following[2]) or nil
if not next_ms and oldest[2] and oldest[1] ~= '!' then next_ms = oldest[2] + forget_ms end
if not next_ms and expired + ahead > 0 then next_ms = shard.at_ms + forget_ms end
local sooner_ms = event.wake_at_ms
for _, at_ms in pairs(event.new_deadlines) do sooner_ms = math.min(sooner_ms, at_ms) end
if sooner_ms < math.huge then next_ms = math.min(next_ms or math.huge, sooner_ms) end

-- Apply.
apply(shard, events, due)
write_rows('HDEL', event.holds, forgotten)
write_rows('ZREM', event.ended, forgotten)
if next_ms then
  redis.call('ZADD', due, string.format('%.0f', next_ms), event.event_id)
else
  redis.call('ZREM', due, event.event_id)
end

-- Reply.
return { 'SWEPT', expired + ahead, #forgotten }
