#!lua flags=allow-oom
--[[
close: end the sale of events now, by Redis time; holds may still be confirmed.

Guarantees   From this record on nobody books or holds.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: a sale that is over gives the place of its last change.
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

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                        a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                          the event is not loaded
  REPLAYED        epoch, seq, at_ms    over before
  BACKPRESSURE                         transient: PostgreSQL is too far behind
  CLOSED          epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `closed`: closes_at_ms
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 1)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, event in ipairs(events) do read_sale(event) end

-- Check. Decisions change the tables above and nothing else.
local function close(event)
  if event.is_damaged then return { 'EVENT_DAMAGED' } end
  if not event.closes_at_ms then return { 'NOT_ON_SALE' } end
  if event.cancelled_at_ms or event.closes_at_ms <= shard.at_ms then
    return { 'REPLAYED', unpack(event.changed) }
  end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  local now = string.format('%.0f', shard.at_ms)
  event.closes_at_ms = shard.at_ms
  return change_sale(shard, event, 'CLOSED', 'closed', '"closes_at_ms":' .. now,
    { { 'closes_at_ms', now } })
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = close(command.event) end

-- Apply.
apply(shard, events, due)
for _, event in ipairs(events) do write_rows('HSET', event.stock, event.sale_fields) end

-- Reply.
return replies
