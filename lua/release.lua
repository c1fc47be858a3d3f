#!lua flags=allow-oom
--[[
release: give held places back before the deadline.

Guarantees   I1 conservation; I10 a released hold is never confirmed; I12 the count goes down once.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: a hold that is over stays over, and the reply says so.
Cost         O(commands + lines); 4 reads and 5 writes per event, 2 reads and 1 write per call, and
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
  4 hold_id       string  which hold
  5 user_id       string  its owner

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                       a key of it is lost, and it is being rebuilt
  NOT_FOUND                           no such hold of that user
  HOLD_CONFIRMED                      it is a booking; cancel that
  REPLAYED       epoch, seq, at_ms    over already, by release or expiry; that of the hold itself
  BACKPRESSURE                        transient: PostgreSQL is too far behind
  RELEASED       epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `released`: hold_id, user_id, items
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
find_holds(events, commands)

-- Check. Decisions change the tables above and nothing else.
local replies = {}
for n, command in ipairs(commands) do
  local event = command.event
  local row = event.hold_of[command.hold_id]
  local hold = row and parse_hold(command.hold_id, row)
  if event.is_damaged then
    replies[n] = { 'EVENT_DAMAGED' }
  elseif not hold or hold.user_id ~= command.user_id then
    replies[n] = { 'NOT_FOUND' }
  elseif hold.status == 'confirmed' then
    replies[n] = { 'HOLD_CONFIRMED' }
  elseif hold.status ~= 'held' then
    replies[n] = { 'REPLAYED', hold.epoch, hold.seq, hold.at_ms }
  elseif shard.room < 1 then
    replies[n] = { 'BACKPRESSURE' }
  else
    replies[n] = done(shard, 'RELEASED', end_hold(shard, event, hold, 'released'))
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
