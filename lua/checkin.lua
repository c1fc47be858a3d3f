#!lua
--[[
checkin: let the bearers of tickets in, once.

Guarantees   A ticket of a live booking passes once; of scans at the same time exactly one passes,
             and each that came too late stays on record, up to the 16 that a ticket remembers.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By scan_id: the same scan gets its first answer, whatever became of the ticket since.
             Another scan is told when and where the first was.
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
  8 by            string  who lets in
  9 scan_id       string  of the scan, made where it was made; - for none
  10 scanned_at_ms int    when that was, Unix ms; 0 if it is not told

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                                         a key of it is lost, and it is being rebuilt
  IDEMPOTENCY_KEY_REUSED                                the scan_id is that of another scan
  REPLAYED            epoch, seq, at_ms                 this scan came before, and let in
  ALREADY_CHECKED_IN  checked_in_at_ms, gate, is_replay  it came before, and was too late
  NOT_FOUND                                             no such booking, or it has fewer tickets
  TICKET_CANCELLED                                      its booking or its place was cancelled
  EVENT_CANCELLED                                       it was called off, and its door is shut
  TICKET_SUPERSEDED                                     it was given to somebody else
  ALREADY_CHECKED_IN  checked_in_at_ms, gate            when and where the first was; the scan has
                                                        no id, or is not to be remembered
  BACKPRESSURE                                          transient: PostgreSQL is too far behind
  SCAN_REFUSED        epoch, seq, at_ms, checked_in_at_ms, gate, record  too late as well, and on
                                                        record: its JSON as journalled
  CHECKED_IN          epoch, seq, at_ms, record

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `checked_in`: ticket_id, booking_id, number, ticket_version, holder_id, gate,
             by; scan_id, scanned_at_ms, and scans, all that the ticket remembers. `scan_refused`:
             the same, with gate and by of the scan that was too late
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
local function check_in(command)
  if command.event.is_damaged then return { 'EVENT_DAMAGED' } end
  bind_scan(command)
  local again, late = answered(command, 'in')
  if again then return again end
  if late then return { 'ALREADY_CHECKED_IN', late[8], late[9], 1 } end
  local ticket, refusal = ticket_of(command)
  if not ticket then return refusal end
  if ticket.version ~= tonumber(command[3]) then return { 'TICKET_SUPERSEDED' } end
  local is_in = ticket.status == 'checked_in'
  if is_in and not scan_word(shard, ticket, command, 'refused') then
    return { 'ALREADY_CHECKED_IN', ticket.at_ms, ticket.gate }
  end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  if is_in then
    local seq = keep_refused_scan(shard, command, ticket)
    return done(shard, 'SCAN_REFUSED', seq, ticket.at_ms, ticket.gate)
  end
  ticket.status, ticket.gate, ticket.by = 'checked_in', command.gate, command.by
  local seq = keep_ticket(shard, command.event, ticket, 'checked_in', command, 'in')
  return done(shard, 'CHECKED_IN', seq)
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = check_in(command) end

-- Apply.
apply(shard, events, due)
for _, event in ipairs(events) do
  write_rows('HSET', event.tickets, flat(event.new_tickets))
end

-- Reply.
return replies
