#!lua flags=allow-oom
--[[
cancel: end confirmed bookings; their places are available again in the same step.

Guarantees   I1 conservation; I10 cancelled is final; I12 the person's count goes down once. A place
             whose ticket is checked in, or belongs to whom it was given, does not come back.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: a cancelled booking gives the reply of its cancellation again.
Cost         O(commands + places); 5 reads and 3 writes per event, 2 reads and 1 write per call, and
             1 XADD per call.
             Where somebody waits, up to 20 entries of each tier are read and offered places.

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
  4 booking_id    string  which booking
  5 user_id       string  its owner

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                       a key of it is lost, and it is being rebuilt
  NOT_FOUND                           no such booking of that user
  REPLAYED            epoch, seq, at_ms    cancelled before
  ALREADY_CHECKED_IN  checked_in_at_ms, gate    somebody is in on one of its tickets; its id follows
  TICKET_TRANSFERRED  ticket_id            given away, and its holder's
  BACKPRESSURE                             transient: PostgreSQL is too far behind
  CANCELLED           epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `cancelled`: booking_id, user_id, items, holders
             Where somebody waits: `offered`, `stalled`, `left`, as `join`
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 3)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, event in ipairs(events) do event.booking_ids = {} end
for _, command in ipairs(commands) do
  local ids = command.event.booking_ids
  ids[#ids + 1] = command[1]
end
for _, event in ipairs(events) do
  read_bookings(event, event.booking_ids)
  read_tickets(event, event.booking_ids)
end

-- Check. Decisions change the tables above and nothing else.
local function cancel(event, booking_id)
  local tickets, numbers = known_tickets(event, booking_id)
  local refusal = refuse_tickets(event, tickets, numbers)
  if refusal then return refusal end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  local seq = end_booking(shard, event, booking_id, holders_text(tickets, numbers))
  return done(shard, 'CANCELLED', seq)
end

local replies = {}
for n, command in ipairs(commands) do
  local event, booking_id = command.event, command[1]
  local status, rest = string.match(event.booking_of[booking_id] or '', '^(%S+) %S+ (.+)$')
  local user_id, its_epoch, seq, its_at_ms = string.match(rest or '',
    '^%S+ %S+ %S+ (%S+) %S+ %S+ ?(%S*) ?(%S*) ?(%S*)$')
  if event.is_damaged then
    replies[n] = { 'EVENT_DAMAGED' }
  elseif user_id ~= command[2] then
    replies[n] = { 'NOT_FOUND' }
  elseif status == 'cancelled' then
    replies[n] = { 'REPLAYED', its_epoch, seq, its_at_ms }
  else
    replies[n] = cancel(event, booking_id)
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
