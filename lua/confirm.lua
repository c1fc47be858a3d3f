#!lua
--[[
confirm: turn holds into confirmed bookings.

Guarantees   I1, I6; I10 held -> sold; I11 only the owner confirms, and a hold is consumed once.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By the hold: its booking, once made, is the reply to every further confirm.
Cost         O(commands + lines); 4 reads and 6 writes per event, 2 reads and 1 write per call, and
             1 XADD per call. A late confirm may end up to 50 overdue holds of others first.
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
  NOT_FOUND                                          no such hold of that user
  REPLAYED       epoch, seq, at_ms, items, fingerprint    confirmed before
  HOLD_RELEASED                                      its owner gave it back
  EVENT_CANCELLED                                    the event was called off
  BACKPRESSURE                                       transient: PostgreSQL is too far behind
  HOLD_EXPIRED   expired_at_ms                       too late, and the places are gone
  CONFIRMED      epoch, seq, at_ms, items, fingerprint, record    record: its JSON as journalled;
                                                     even late, where the places were still there

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `confirmed`: hold_id, booking_id, user_id, fingerprint, items, detail,
             was_expired; and `expired`
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
find_holds(events, commands)

-- Check. Decisions change the tables above and nothing else.
-- Tell whether a live hold that is overdue may no longer be confirmed: an offer is final, and
-- where somebody waits, nobody comes late and passes the list (I9).
local function is_too_late(shard, event, hold, lines)
  if hold.expires_at_ms > shard.at_ms then return false end
  if string.sub(hold.hold_id, 1, 6) == 'offer_' then return true end
  for _, line in ipairs(lines) do
    if event.tiers[line.tier_no] == nil then read_stock(event, { [line.tier_no] = true }) end
    if event.tiers[line.tier_no].waiting > 0 then return true end
  end
  return false
end

local function reacquire(event, hold, lines, places)
  read_stock(event, {})
  if not event.person_max then return false end
  if event.taken[hold.user_id] == nil then
    read_rows(event.persons, { hold.user_id }, event.taken)
  end
  if tonumber(event.taken[hold.user_id] or 0) + places > event.person_max then return false end
  reclaim(shard, event, 50)
  local code = string.match(hold.fingerprint, '~([A-Z0-9_-]+)$')
  local promo = code and find_promo(event, code)
  if promo and promo.used >= promo.uses_max then return false end
  for _, line in ipairs(lines) do
    if event.tiers[line.tier_no] == nil then read_stock(event, { [line.tier_no] = true }) end
    local tier = event.tiers[line.tier_no]
    if not tier or line.quantity > tier.available or tier.waiting > 0 then return false end
    local had = tier_taken(event, line.tier_no, hold.user_id)
    if had and had + line.quantity > tier.person_max then return false end
    if line.seats and check_seats(event, line, line.seats) then return false end
  end
  return true
end

local function confirm(command, hold)
  local event = command.event
  local lines, places, rows = lines_of(hold.items)
  local was_expired = hold.status == 'expired'
  local is_offer = string.sub(hold.hold_id, 1, 6) == 'offer_'
  if is_offer and was_expired then return { 'HOLD_EXPIRED', hold.expires_at_ms } end
  if not was_expired and is_too_late(shard, event, hold, lines) then
    end_hold(shard, event, hold, 'expired')
    return { 'HOLD_EXPIRED', hold.expires_at_ms }
  end
  if was_expired then
    if not reacquire(event, hold, lines, places) then
      return { 'HOLD_EXPIRED', hold.expires_at_ms }
    end
    move(event, lines, 'available', 'sold', hold.user_id, places)
    use_promo(event, hold.fingerprint, 1)
  else
    move(event, lines, 'held', 'sold', hold.user_id, 0)
    event.old_deadlines[#event.old_deadlines + 1] = hold.hold_id
    event.new_ended[hold.hold_id] = shard.at_ms
  end
  local seq = note(shard, event, 'confirmed', '"hold_id":"' .. hold.hold_id
    .. '","booking_id":"' .. command.booking_id .. '","user_id":"' .. hold.user_id
    .. '","fingerprint":"' .. hold.fingerprint .. '","items":' .. rows
    .. ',"detail":' .. hold.detail .. ',"was_expired":' .. tostring(was_expired))
  local record = shard.records[shard.count]
  local row = table.concat({ 'confirmed', 1, epoch, seq, shard.at_ms, hold.user_id,
    hold.fingerprint, hold.items }, ' ')
  keep_booking(event, command.booking_id, row)
  hold.status, hold.version = 'confirmed', hold.version + 1
  keep_hold(shard, event, hold, seq)
  end_offer(shard, event, hold, seq)
  return { 'CONFIRMED', epoch, seq, shard.at_ms, hold.items, hold.fingerprint, record }
end

local replies = {}
for n, command in ipairs(commands) do
  local event = command.event
  local row, booking = event.hold_of[command.hold_id], event.booking_of[command.booking_id]
  local hold = row and parse_hold(command.hold_id, row)
  if booking then
    local its_epoch, seq, at_ms, user_id, fingerprint, items =
      string.match(booking, '^%S+ %S+ (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
    replies[n] = user_id == command.user_id
      and { 'REPLAYED', its_epoch, seq, at_ms, items, fingerprint } or { 'NOT_FOUND' }
  elseif not hold or hold.user_id ~= command.user_id then
    replies[n] = { 'NOT_FOUND' }
  elseif is_cancelled(event) then
    replies[n] = { 'EVENT_CANCELLED' }
  elseif hold.status == 'released' then
    replies[n] = { 'HOLD_RELEASED' }
  elseif shard.room < 1 then
    replies[n] = { 'BACKPRESSURE' }
  else
    replies[n] = confirm(command, hold)
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
