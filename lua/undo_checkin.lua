#!lua
--[[
undo_checkin: take back check-ins, so that the tickets pass again.

Guarantees   Only a ticket that is checked in; of undos at the same time exactly one counts.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By scan_id, as `checkin`; and by state: a check-in that was undone gives the reply of
             its undoing again.
Cost         O(commands); 3 reads and 1 write per event, 2 reads and 1 write per call, and
             1 XADD per call.

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
  4 booking_id    string  whose ticket
  5 number        int     1..10 which of its tickets
  6 version       int     1.. of the ticket, as its code says
  7 gate          string  where; no blanks
  8 by            string  who undoes it
  9 scan_id       string  of the act, made where it was done; - for none
  10 scanned_at_ms int    when that was, Unix ms; 0 if it is not told

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                            a key of it is lost, and it is being rebuilt
  IDEMPOTENCY_KEY_REUSED                   the scan_id is that of another scan
  REPLAYED            epoch, seq, at_ms    this very act came before
  NOT_FOUND                                no such booking, or it has fewer tickets
  TICKET_CANCELLED                         its booking or its place was cancelled
  EVENT_CANCELLED                          the event was called off; who was in stays on record
  TICKET_SUPERSEDED                        it was given to somebody else
  REPLAYED            epoch, seq, at_ms    undone before
  NOT_CHECKED_IN                           there is nothing to undo
  BACKPRESSURE                             transient: PostgreSQL is too far behind
  CHECK_IN_UNDONE     epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `check_in_undone`: as `checked_in`
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 8)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
find_tickets(events, commands)

-- Check. Decisions change the tables above and nothing else.
local function undo(command)
  if command.event.is_damaged then return { 'EVENT_DAMAGED' } end
  bind_scan(command)
  local again = answered(command, 'undone')
  if again then return again end
  local ticket, refusal = ticket_of(command)
  if not ticket then return refusal end
  if ticket.version ~= tonumber(command[3]) then return { 'TICKET_SUPERSEDED' } end
  if ticket.status == 'undone' then
    return { 'REPLAYED', ticket.epoch, ticket.seq, ticket.at_ms }
  end
  if ticket.status ~= 'checked_in' then return { 'NOT_CHECKED_IN' } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  ticket.status, ticket.gate, ticket.by = 'undone', command.gate, command.by
  local seq = keep_ticket(shard, command.event, ticket, 'check_in_undone', command, 'undone')
  return done(shard, 'CHECK_IN_UNDONE', seq)
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = undo(command) end

-- Apply.
apply(shard, events, due)
for _, event in ipairs(events) do
  write_rows('HSET', event.tickets, flat(event.new_tickets))
end

-- Reply.
return replies
