#!lua
--[[
transfer: give tickets to other people; their codes change, and the old ones no longer pass.

Guarantees   Only the holder gives, and not after check-in; the ticket's version strictly increases.
             Where the event has no transfers, a ticket goes back to its buyer at most. The place
             still counts against the limit of who booked it (I12), not of the receiver.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By state: a giver who repeats the same transfer gets the first reply again.
Cost         O(commands); 4 reads and 1 write per event, 2 reads and 1 write per call, and
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
  6 user_id       string  its holder
  7 to_user_id    string  who gets it

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                                         a key of it is lost, and it is being rebuilt
  NOT_FOUND                                             no such ticket of that holder
  TICKET_CANCELLED                                      its booking or its place was cancelled
  EVENT_CANCELLED                                       the event was called off
  REPLAYED            epoch, seq, at_ms, version        given before
  NO_TRANSFERS                                          the event's tickets stay whose they are
  ALREADY_CHECKED_IN  checked_in_at_ms, gate            too late
  BACKPRESSURE                                          transient: PostgreSQL is too far behind
  TRANSFERRED         epoch, seq, at_ms, version, record    the ticket's new version; record: its
                                                        JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `transferred`: as `checked_in`; holder_id is the receiver, by the giver
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 5)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
find_tickets(events, commands)

-- Check. Decisions change the tables above and nothing else.
local function transfer(command)
  if command.event.is_damaged then return { 'EVENT_DAMAGED' } end
  local ticket, refusal = ticket_of(command)
  local user_id, to_user_id = command[3], command[4]
  if not ticket then return refusal end
  if ticket.holder_id == to_user_id and ticket.by == user_id and ticket.status == 'valid' then
    return { 'REPLAYED', ticket.epoch, ticket.seq, ticket.at_ms, ticket.version }
  end
  if ticket.holder_id ~= user_id then return { 'NOT_FOUND' } end
  if to_user_id ~= ticket.owner_id and transfers_of(command.event) == 'none' then
    return { 'NO_TRANSFERS' }
  end
  if ticket.status == 'checked_in' then
    return { 'ALREADY_CHECKED_IN', ticket.at_ms, ticket.gate }
  end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  ticket.status, ticket.version = 'valid', ticket.version + 1
  ticket.holder_id, ticket.gate, ticket.by = to_user_id, '-', user_id
  local seq = keep_ticket(shard, command.event, ticket, 'transferred')
  return done(shard, 'TRANSFERRED', seq, ticket.version)
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = transfer(command) end

-- Apply.
apply(shard, events, due)
for _, event in ipairs(events) do
  write_rows('HSET', event.tickets, flat(event.new_tickets))
end

-- Reply.
return replies
