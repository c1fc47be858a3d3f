#!lua
--[[
reopen: sell on until a later time; also moves the end of a sale that is not over.

Guarantees   A cancelled event is never sold again, and none beyond its end, unless a tier is.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: the same end again gives the place of its last change.
Cost         O(commands); 1 read and 1 write per event, 2 reads, 1 write and 1 XADD per call.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string  one per event, in the order of KEYS
  then for each command, up to 128:
  3 event_no      int     1.. which of the events
  4 closes_at_ms  int     Unix ms, above now

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                        a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                          the event is not loaded
  EVENT_CANCELLED                      it was cancelled, which is final
  SALE_CLOSED     closes_at_ms         the end asked for has passed
  EVENT_ENDED     ends_at_ms           the end asked for is behind the event's
  REPLAYED        epoch, seq, at_ms    ends then already
  BACKPRESSURE                         transient: PostgreSQL is too far behind
  REOPENED        epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `reopened`: closes_at_ms
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 2)
if not commands then return redis.error_reply('BADARG command') end
for _, command in ipairs(commands) do
  if not string.find(command[1], '^%d+$') or #command[1] > 15 then
    return redis.error_reply('BADARG closes_at_ms')
  end
end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, event in ipairs(events) do read_sale(event) end

-- Check. Decisions change the tables above and nothing else.
local function reopen(event, text)
  local closes_at_ms = tonumber(text)
  if event.is_damaged then return { 'EVENT_DAMAGED' } end
  if not event.closes_at_ms then return { 'NOT_ON_SALE' } end
  if event.cancelled_at_ms then return { 'EVENT_CANCELLED' } end
  local refusal = refuse_until(shard, event, closes_at_ms)
  if refusal then return refusal end
  if event.closes_at_ms == closes_at_ms then return { 'REPLAYED', unpack(event.changed) } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  return sell_until(shard, event, 'REOPENED', closes_at_ms)
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = reopen(command.event, command[1]) end

-- Apply.
apply(shard, events, due)
for _, event in ipairs(events) do write_rows('HSET', event.stock, event.sale_fields) end

-- Reply.
return replies
