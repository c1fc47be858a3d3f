#!lua
--[[
confirm: turn holds into confirmed bookings.

Guarantees   I1, I6; I10 held -> sold; I11 only the owner confirms, and a hold is consumed once.
             What a hold promises ends with it: late, its places are taken anew, as the rules of
             the sale are now, and at the price that was promised or not at all. I12.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By the hold: its booking, once made, is the reply to every further confirm.
Cost         O(commands + lines); 4 reads and 6 writes per event, 2 reads and 1 write per call, and
             1 XADD per call. A late confirm ends its hold, if nobody has, and may end up to 50
             overdue ones of others first.
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
  EVENT_DAMAGED                                      a key of it is lost, and it is being rebuilt
  NOT_FOUND                                          no such hold of that user
  REPLAYED       epoch, seq, at_ms, items, fingerprint    confirmed before; if it has changed since,
                                                     status, version, when it was cancelled
  HOLD_RELEASED                                      its owner gave it back
  EVENT_CANCELLED                                    the event was called off
  BACKPRESSURE                                       transient: PostgreSQL is too far behind
  EVENT_ENDED      ends_at_ms                        in time or late
  NOT_ON_SALE                                        this and the next six: late, and `book` would
  SALE_NOT_OPEN    opens_at_ms                       refuse it now; with the line if it is a tier's
  SALE_CLOSED      closes_at_ms
  UNKNOWN_TIER     line
  LIMIT_REACHED    scope, max, taken
  PROMO_UNKNOWN
  PROMO_EXHAUSTED  uses_max
  HOLD_EXPIRED     expired_at_ms                     too late, and the places are gone
  PRICE_CHANGED    total_minor                       late, and it would cost that now
  CONFIRMED        epoch, seq, at_ms, items, fingerprint, record   record: its JSON as journalled;
                                                     even late, where the places were still there

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `confirmed`: hold_id, booking_id, user_id, fingerprint, items, detail,
             was_expired; and `expired`
             Where somebody waits: `offered`, `stalled`, `left`, as `join`
]]

-- Read of an event whether it was called off and when it ends.
local function read_ends(event)
  local sale = redis.call('HMGET', event.stock, 'cancelled_at_ms', 'ends_at_ms', 'after_end')
  event.cancelled_at_ms, event.end_ms, event.after_end = sale[1], tonumber(sale[2]), sale[3]
end

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
for _, event in ipairs(events) do read_ends(event) end

-- Check. Decisions change the tables above and nothing else.
-- Tell whether the event is over for some of the lines.
local function has_ended(event, lines)
  if not event.end_ms or shard.at_ms < event.end_ms then return false end
  for _, line in ipairs(lines) do
    if not sells_after_end(event.after_end, line.tier_no) then return true end
  end
  return false
end

-- Tell whether the places of a hold that is over are still there. Where somebody waits, nobody
-- comes late and passes the list (I9).
local function are_gone(event, lines)
  for n, line in ipairs(lines) do
    if line.quantity > left_for(event, lines, n)
      or is_kept(shard, event, event.tiers[line.tier_no]) then
      return true
    end
    if line.seats and check_seats(event, line, line.seats) then
      -- What stands in the way may be overdue as well.
      if event.is_reclaimed then return true end
      event.is_reclaimed = true
      reclaim(shard, event, 50)
      if check_seats(event, line, line.seats) then return true end
    end
  end
  return false
end

-- Say why the places of a hold that is over cannot be taken anew, or nothing if they can: to take
-- them is an order of today, and the rules of today judge it. It must still cost what was promised.
local function refuse_late(event, hold, lines, places)
  local order = { event = event, user_id = hold.user_id, fingerprint = hold.fingerprint,
    code = string.match(hold.fingerprint, '~([A-Z0-9_-]+)$'), lines = lines, places = places }
  local tier_nos = {}
  for _, line in ipairs(lines) do
    tier_nos[line.tier_no], line.word = true, string.format('%d', line.quantity)
  end
  read_stock(event, tier_nos)
  if event.taken[hold.user_id] == nil then
    read_rows(event.persons, { hold.user_id }, event.taken)
  end
  local refusal = refuse_rules(shard, order)
  if refusal then return refusal end
  if are_gone(event, lines) then return { 'HOLD_EXPIRED', hold.expires_at_ms } end
  if price(order) == hold.items then return nil end
  local total = 0
  for _, line in ipairs(lines) do
    total = total + line.quantity * discounted(order, line.tier_no)
  end
  return { 'PRICE_CHANGED', total }
end

local function confirm(command, hold)
  local event = command.event
  local lines, places, rows = lines_of(hold.items)
  local is_late = hold.status == 'expired' or hold.expires_at_ms <= shard.at_ms
  -- Its places are free from its deadline on, whether or not somebody has come to end it.
  if is_late and hold.status == 'held' then end_hold(shard, event, hold, 'expired') end
  if is_late and string.sub(hold.hold_id, 1, 6) == 'offer_' then
    return { 'HOLD_EXPIRED', hold.expires_at_ms }
  end
  if has_ended(event, lines) then return { 'EVENT_ENDED', event.end_ms } end
  if is_late then
    local refusal = refuse_late(event, hold, lines, places)
    if refusal then return refusal end
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
    .. ',"detail":' .. hold.detail .. ',"was_expired":' .. tostring(is_late))
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
  if event.is_damaged then
    replies[n] = { 'EVENT_DAMAGED' }
  elseif booking then
    local its_epoch, seq, at_ms, user_id, fingerprint, items =
      string.match(booking, '^%S+ %S+ (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
    replies[n] = user_id == command.user_id
      and { 'REPLAYED', its_epoch, seq, at_ms, items, fingerprint,
        unpack(changed_since(booking) or {}) } or { 'NOT_FOUND' }
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
