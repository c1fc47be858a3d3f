#!lua flags=allow-oom
--[[
cancel_item: give back some places of bookings; the last ones end the booking.

Guarantees   I1 conservation; I10 the booking's version strictly increases; I12 the count goes down
             with the places. A place whose ticket is checked in does not come back.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By the version that the caller has seen: what was done at it is the reply again.
Cost         O(commands + places); 4 reads and 3 writes per event, 2 reads and 1 write per call, and
             1 XADD per call.

KEYS (one hash tag: the shard's; 4..14 repeat for each event)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4 stock      hash    sale window, limits; per tier what is left and sold    read, write
  5 bookings   hash    booking_id -> booking, see docs/DATA.md                read, write
  6 persons    hash    user_id -> places held or booked                       read, write
  7 holds      hash    hold_id -> hold, see docs/DATA.md                      read, write
  8 deadlines  zset    hold_id -> expires_at_ms, of live holds                read, write
  9 ended      zset    hold_id -> when it ended, Unix ms                      write
 10 seats      hash    section -> its seats
 11 waitlist   zset    who waits for which tier, in order of joining
 12 entries    hash    entry_id -> waitlist entry
 13 tickets    hash    ticket_id -> check-in                                  read, write
 14 promos     hash    promo codes and their uses                            read, write

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string  one per event, in the order of KEYS
  then for each command, up to 128:
  3 event_no      int     1.. which of the events
  4 booking_id    string  which booking
  5 user_id       string  its owner
  6 version       int     1.. of the booking, as the caller has seen it
  7 lines         string  tier_no:quantity,... distinct tiers, 1..10 lines

Returns one array per command, in order (first that applies)
  NOT_FOUND                                             no such booking of that user
  REPLAYED            epoch, seq, at_ms                 done at that version before
  VERSION_CHANGED     version                           something else was done at that version
  NOT_IN_BOOKING      line                              it has not so many places of that tier
  ALREADY_CHECKED_IN  checked_in_at_ms, gate            somebody is in on one of them
  BACKPRESSURE                                          transient: PostgreSQL is too far behind
  CANCELLED           epoch, seq, at_ms                 these were its last places
  ITEM_CANCELLED      epoch, seq, at_ms

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `item_cancelled`: booking_id, user_id, booking_version, items, left, cuts; or
             `cancelled`: booking_id, user_id, items
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
for _, event in ipairs(events) do
  event.booking_ids, event.ticket_ids, event.ticket_of = {}, {}, {}
end
for _, command in ipairs(commands) do
  local event, tail = command.event, string.sub(command[1], 4)
  event.booking_ids[#event.booking_ids + 1] = command[1]
  for number = 1, 10 do
    event.ticket_ids[#event.ticket_ids + 1] = 'tkt_' .. tail .. '_' .. number
  end
  command.cut = parse_cut(command[4])
  if not command.cut then return redis.error_reply('BADARG lines') end
end
for _, event in ipairs(events) do
  read_rows(event.bookings, event.booking_ids, event.booking_of)
  read_rows(event.tickets, event.ticket_ids, event.ticket_of)
end

-- Check. Decisions change the tables above and nothing else.
local function cancel_item(command)
  local event, booking_id, cut = command.event, command[1], command.cut
  local status, version, user_id, items = string.match(event.booking_of[booking_id] or '',
    '^(%S+) (%S+) %S+ %S+ %S+ (%S+) %S+ (%S+)')
  if user_id ~= command[2] then return { 'NOT_FOUND' } end
  if version ~= command[3] or status ~= 'confirmed' then
    return replay_cut(event.booking_of[booking_id], tonumber(command[3]), cut)
  end
  local live = layout(items)
  local left = 0
  local has_seats = string.find(items, ':s', 1, true)
  for _, quantity in pairs(live) do left = left + quantity end
  for n, line in ipairs(cut) do
    if line.quantity > (live[line.tier_no] or 0) then return { 'NOT_IN_BOOKING', n } end
    left = left - line.quantity
  end
  local used = used_ticket(event, booking_id, items, cut)
  if used then return used end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  -- Which of its seats a booking would give up, nobody has said: all of it, or nothing.
  if left > 0 and has_seats then return { 'NOT_IN_BOOKING', 1 } end
  if left == 0 then
    return { 'CANCELLED', epoch, end_booking(shard, event, booking_id, ''), shard.at_ms }
  end
  return { 'ITEM_CANCELLED', epoch, cut_booking(shard, event, booking_id, cut), shard.at_ms }
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = cancel_item(command) end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
