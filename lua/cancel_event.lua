#!lua flags=allow-oom
--[[
cancel_event: call an event off: its sale is over at once and for good.

Guarantees   From this record on nobody books, holds or confirms, comes in or gives a ticket away;
             what is taken is given back by `empty_event`, in bounded steps.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  By state: a cancelled event gives the reply of its cancellation again.
Cost         4 reads, 3 writes and 1 XADD.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says
 15 cancelling set     events that are cancelled and not empty yet            read, write

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string  which event

Returns (first that applies)
  EVENT_DAMAGED                      a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                        the event is not loaded
  REPLAYED      epoch, seq, at_ms    cancelled before
  BACKPRESSURE                       transient: PostgreSQL is too far behind
  CANCELLED     epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `event_cancelled`: closes_at_ms
]]

-- Bind.
local meta, journal, due, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[15]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local event = events[1]
if #KEYS ~= 15 or not event.event_id then return redis.error_reply('BADARG event') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
read_sale(event)

-- Check.
if event.is_damaged then return { 'EVENT_DAMAGED' } end
if not event.closes_at_ms then return { 'NOT_ON_SALE' } end
if event.cancelled_at_ms then return { 'REPLAYED', unpack(event.changed) } end
if shard.room < 1 then return { 'BACKPRESSURE' } end
redis.call('SISMEMBER', cancelling, event.event_id)
local now = string.format('%.0f', shard.at_ms)
local closes_at_ms = string.format('%.0f', math.min(shard.at_ms, event.closes_at_ms))
local reply = change_sale(shard, event, 'CANCELLED', 'event_cancelled',
  '"closes_at_ms":' .. closes_at_ms,
  { { 'closes_at_ms', closes_at_ms }, { 'cancelled_at_ms', now } })

-- Apply.
apply(shard, events, due)
write_rows('HSET', event.stock, event.sale_fields)
redis.call('SADD', cancelling, event.event_id)

-- Reply.
return reply
