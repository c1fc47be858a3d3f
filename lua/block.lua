#!lua
--[[
block: take seats out of sale, for the organizer.

Guarantees   I1: the counters move along; I2: a seat that is held or sold is never touched.
Atomicity    All seats or none; every check precedes the first write.
Idempotency  By state: seats that are blocked already stay so.
Cost         O(seats); 2 reads and 2 writes per section or tier, 3 reads and 1 write, 1 XADD.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms
  4..14 event  keys    the eleven of an event, as `bind_events` says

ARGV
  1 epoch      string  epoch[:seq] the caller believes in
  2 event_id   string  which event
  then for each seat, 1..500, all distinct:
  3 seat_id    string  s<section>-<seat>

Returns (first that applies)
  EVENT_DAMAGED                       a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                         the event is not loaded
  BACKPRESSURE                        transient: PostgreSQL is too far behind
  UNKNOWN_SEAT   line, seat_id        line: which of the seats, from 1
  SEAT_TAKEN     line, seat_id        held or sold
  REPLAYED       epoch, seq, at_ms    all were blocked already; that of the last record there is
  BLOCKED        epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `blocked`: seats; and `left`, of parties larger than the tier is now
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local event, seat_ids, seen = events[1], {}, {}
for a = 3, #ARGV do
  if seen[ARGV[a]] then return redis.error_reply('BADARG seat twice') end
  seen[ARGV[a]] = true
  seat_ids[a - 2] = ARGV[a]
end
if #events ~= 1 or #seat_ids < 1 or #seat_ids > 500 then
  return redis.error_reply('BADARG seats')
end

-- Fence.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
read_stock(event, {})

-- Check. Decisions change the tables above and nothing else.
if event.is_damaged then return { 'EVENT_DAMAGED' } end
if not event.person_max then return { 'NOT_ON_SALE' } end
if shard.room < 1 then return { 'BACKPRESSURE' } end
local refusal, words, rows = shift_seats(shard, event, seat_ids, 'available', 'blocked')
if refusal then return refusal end
if #words == 0 then
  return { 'REPLAYED', epoch, string.format('%.0f', shard.seq), shard.at_ms }
end
local reply = done(shard, 'BLOCKED', note(shard, event, 'blocked', '"seats":' .. rows))
for _, tier in pairs(event.tiers) do tier.is_smaller = true end
promote(shard, events)

-- Apply.
apply(shard, events, due)
write_rows('HSET', event.stock, words)

-- Reply.
return reply
