#!lua flags=allow-oom
--[[
empty_event: take one bounded step in giving back all places of a cancelled event, and in ending
its waitlist.

Guarantees   I1 conservation; I10 cancelled is final; in the end nobody holds, has or awaits
             anything, also who is in already, or was given a ticket: their tickets stay on record
             as they are.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  By state: a hold or booking ends once. A step that crashed is simply taken again.
Cost         O(100 holds + 100 entries + bookings named + tiers); at most 12 reads and
             10 writes, 1 write more per entry, and 1 XADD.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says
 15 cancelling set     events that are cancelled and not empty yet            read, write

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string  which event
  then up to 100 times:
  3 booking_id    string  a booking that may still live

Returns (first that applies)
  EVENT_DAMAGED                    a key of it is lost, and it is being rebuilt
  NOT_FOUND                        the event is not cancelled
  EMPTIED       holds, bookings, left, entries    how many ended; left: places that are still
                                                  taken, and entries that still wait

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `released`: hold_id, user_id, items, reason; `cancelled`: booking_id,
             user_id, items, reason, holders; and `left`: entry_id, user_id, tier_no, quantity, why.
             Records of version 1 cannot say the latter, nor why a hold was released: entries stay
]]

-- Bind.
local meta, journal, due, cancelling = KEYS[1], KEYS[2], KEYS[3], KEYS[15]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local event = events[1]
if #KEYS ~= 15 or not event.event_id then return redis.error_reply('BADARG event') end
local booking_ids = {}
for a = 3, #ARGV do booking_ids[a - 2] = ARGV[a] end
if #booking_ids > 100 then return redis.error_reply('BADARG bookings') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
if event.is_damaged then return { 'EVENT_DAMAGED' } end
read_sale(event)
if not event.cancelled_at_ms then return { 'NOT_FOUND' } end
local tier_nos = {}
for n = 1, event.tier_count do tier_nos[tostring(n)] = true end
read_stock(event, tier_nos)
read_bookings(event, booking_ids)
read_tickets(event, booking_ids)
local hold_ids = redis.call('ZRANGEBYSCORE', event.deadlines, '-inf', '(+inf',
  'LIMIT', 0, 100)
read_rows(event.holds, hold_ids, event.hold_of)
local can_say = records_version() > 1
local entry_ids = {}
local members = can_say and redis.call('ZRANGEBYLEX', event.waitlist, '[0', '+', 'LIMIT', 0, 100)
for n, member in ipairs(members or {}) do entry_ids[n] = string.sub(member, 18) end
local waiting = find_entries(event, entry_ids)
redis.call('SISMEMBER', cancelling, event.event_id)

-- Check. Decisions change the tables above and nothing else.
local holds, bookings, left, entries = 0, 0, 0, 0
for _, hold_id in ipairs(hold_ids) do
  local row = event.hold_of[hold_id]
  local hold = row and parse_hold(hold_id, row)
  if hold and hold.status == 'held' and shard.room > 0 then
    end_hold(shard, event, hold, 'released', can_say and 'event_cancelled' or nil)
    holds = holds + 1
  end
end
for _, booking_id in ipairs(booking_ids) do
  local row = event.booking_of[booking_id]
  if row and string.find(row, '^confirmed ') and shard.room > 0 then
    local holders = holders_text(known_tickets(event, booking_id))
    end_booking(shard, event, booking_id, ',"reason":"event_cancelled"' .. holders)
    bookings = bookings + 1
  end
end
for _, entry in ipairs(waiting) do
  if entry and entry.is_waiting and shard.room > 0 then
    leave_list(shard, event, entry, 'event_cancelled')
    entries = entries + 1
  end
end
for tier_no in pairs(tier_nos) do
  local tier = event.tiers[tier_no]
  left = left + tier.held + tier.sold + (can_say and tier.waiting or 0)
end

-- Apply.
apply(shard, events, due)
if left == 0 then redis.call('SREM', cancelling, event.event_id) end

-- Reply.
return { 'EMPTIED', holds, bookings, left, entries }
