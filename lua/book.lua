#!lua
--[[
book: turn places of one or more tiers into a confirmed booking, for many orders at once.

Guarantees   I1 never oversold; I6 one booking per idempotency key; I12 limit per person.
Atomicity    Each order all or nothing; every check precedes the first write of the batch.
Idempotency  A known booking_id gives its first reply again, whatever happened since.
Cost         O(orders + lines); 3 reads and 3 writes per event, 2 reads and 1 write per call, and
             1 XADD per call. Where too little is left, up to 50 overdue holds are ended first.
             Where somebody waits, up to 20 entries of each tier are read and offered places.

KEYS (one hash tag: the shard's; 4..14 repeat for each event)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4 stock      hash    sale window, limits; per tier what is left and sold    read, write
  5 bookings   hash    booking_id -> booking, see docs/DATA.md                read, write
  6 persons    hash    user_id[/tier_no] -> places held or booked             read, write
  7 holds      hash    hold_id -> hold, see docs/DATA.md                      read, write
  8 deadlines  zset    hold_id -> expires_at_ms, of live holds                read, write
  9 ended      zset    hold_id -> when it ended, Unix ms                      write
 10 seats      hash    of each section its seats, see docs/SEATS.md           read, write
 11 waitlist   zset    who waits for which tier, in order of joining       read, write
 12 entries    hash    entry_id -> waitlist entry                         read, write
 13 tickets    hash    ticket_id -> check-in
 14 promos     hash    promo codes and their uses                            read, write

ARGV
  1 epoch        string  epoch[:seq] the caller believes in
  2 event_id     string  one per event, in the order of KEYS
  then for each order, up to 128:
  3 event_no     int     1.. which of the events
  4 booking_id   string  derived from user, event and idempotency key
  5 user_id      string  whose order
  6 fingerprint  string  hash of the request, with a promo code ~CODE behind it
  7 ttl_ms       int     not used: 0
  8 detail       string  JSON object kept with it
  9 line_count   int     1..10
 10 tier_no      int     1.. distinct within an order; repeats with quantity
 11 quantity     string  1..10 places, alone, or followed by a colon and which seats:
                         s<section>-<seat>+..., or best[,split][,accessible]

Returns one text: a line per order, in order, of words (first that applies)
  REPLAYED                epoch, seq, at_ms, items   the first reply again
  IDEMPOTENCY_KEY_REUSED                             known booking_id, other fingerprint
  NOT_ON_SALE                                        the event is not loaded
  SALE_NOT_OPEN           opens_at_ms                transient; with the line if it is a tier's
  SALE_CLOSED             closes_at_ms               with the line if it is a tier's
  BACKPRESSURE                                       transient: PostgreSQL is too far behind
  UNKNOWN_TIER            line                       also hidden, and no code unlocks it
  LIMIT_REACHED           scope, max, taken          scope: order, order_min, person, tier
  PROMO_UNKNOWN                                      no such code, or not for these tiers
  PROMO_EXHAUSTED         uses_max                   may return with a hold or a cancellation
  SOLD_OUT                line, available
  ALL_HELD                line, available, retry_after_ms   transient: held places may return
  UNKNOWN_SEAT            line, seat_id              not a seat of that tier, or named twice
  SEAT_TAKEN              line, seat_id
  NOT_TOGETHER            line, available            enough are left, but not side by side
  BOOKED                  epoch, seq, at_ms, items   items: tier_no:quantity:unit_price_minor,...

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `booked`: booking_id, user_id, fingerprint, items, detail; and `expired`
             Where somebody waits: `offered`, `stalled`, `left`, as `join`
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events, figure, argv = bind_events(), figures(), ARGV
local orders = bind_orders(events, figure, 2 + #events)
if not orders then return redis.error_reply('BADARG order') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
read_orders(events, orders, 'bookings')
for _, event in ipairs(events) do event.is_open = is_open(shard, event) end

-- Check. Decisions change the tables above and nothing else.
local before, behind = epoch .. ' ', ' ' .. shard.at_text .. ' '

-- A plain order that obviously fits: one line of a tier with no rules, no seats and no list, no
-- promo code, enough left. Most orders of a rush are that and go this way, which makes no tables;
-- all others, and every refusal, go by `take` and `refuse`.
local function take_plain(event, a, number)
  local id, user_id, fingerprint = argv[a + 1], argv[a + 2], argv[a + 3]
  local tier_no, word = argv[a + 7], argv[a + 8]
  local tier, quantity = event.tiers[tier_no], figure[word]
  if not (event.is_open and quantity and tier and tier.is_plain) or argv[a + 6] ~= '1'
    or event.rows[number] or event.booking_of[id] or shard.room < 1
    or quantity > tier.available or quantity > tier.order_max
    or string.find(fingerprint, '~', 1, true) then
    return nil
  end
  local had = event.taken[user_id] or event.persons_read[number]
  local taken = had and tonumber(had) + quantity or quantity
  if taken > event.person_max then return nil end
  tier.available, tier.sold = tier.available - quantity, tier.sold + quantity
  tier.is_changed = true
  local changed = event.changed_count + 1
  event.taken[user_id], event.changed_persons[changed] = taken, user_id
  event.changed_count = changed
  local head, seq = begin_record(shard, event, 'booked')
  local price = tier.price_text
  shard.records[shard.count] = head .. '"booking_id":"' .. id .. '","user_id":"' .. user_id
    .. '","fingerprint":"' .. fingerprint .. '","items":[[' .. tier_no .. ',' .. word .. ','
    .. price .. ']],"detail":' .. argv[a + 5] .. '}'
  keep_booking(event, id, 'confirmed 1 ' .. before .. seq .. behind .. user_id .. ' '
    .. fingerprint .. ' ' .. tier_no .. ':' .. word .. ':' .. price)
  return 'BOOKED' .. ' ' .. before .. seq .. behind .. tier_no .. ':' .. word .. ':' .. price
end

local function take(order)
  local event, user_id, fingerprint, items, rows = order.event, order.user_id, order.fingerprint,
    price(order)
  move(event, order.lines, 'available', 'sold', user_id, order.places)
  if order.code then use_promo(event, fingerprint, 1) end
  local seq = note(shard, event, 'booked', '"booking_id":"' .. order.id .. '","user_id":"'
    .. user_id .. '","fingerprint":"' .. fingerprint .. '","items":' .. rows
    .. ',"detail":' .. order.detail)
  keep_booking(event, order.id, 'confirmed 1 ' .. before .. seq .. behind .. user_id .. ' '
    .. fingerprint .. ' ' .. items)
  return 'BOOKED' .. ' ' .. before .. seq .. behind .. items
end

local replies = {}
for n = 1, orders.count do
  local event, a, number = orders.of[n], orders.starts[n], orders.numbers[n]
  replies[n] = take_plain(event, a, number)
  if not replies[n] then
    local order = bind_order(event, figure, a)
    if not order then return redis.error_reply('BADARG order') end
    local row = find_rows(order, number, event.booking_of)
    if row then
      local place, fingerprint, items =
        string.match(row, '^%S+ %S+ (%S+ %S+ %S+ )%S+ (%S+) (%S+)')
      replies[n] = fingerprint == order.fingerprint and 'REPLAYED' .. ' ' .. place .. items
        or 'IDEMPOTENCY_KEY_REUSED'
    else
      local refusal = refuse(shard, order) or seat_order(shard, order)
      replies[n] = refusal and table.concat(refusal, ' ') or take(order)
    end
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply. One text, since a rush pays for every value of a reply, here and in the worker.
return table.concat(replies, '\n')
