#!lua
--[[
book: turn places of one or more tiers into a confirmed booking, for many orders at once.

Guarantees   I1 never oversold; I6 one booking per idempotency key; I12 limit per person, but where
             the box office says otherwise.
Atomicity    Each order all or nothing; every check precedes the first write of the batch.
Idempotency  A known booking_id gives its first reply again, and what became of the booking since.
Cost         O(orders + lines); 3 reads and 3 writes per event, 2 reads and 1 write per call, and
             1 XADD per call; 2 reads and 2 writes more where there is a limit. Where too little
             is left, up to 50 overdue holds are ended first.
             Where somebody waits, up to 20 entries of each tier are read and offered places.

KEYS (one hash tag: the shard's)
  1 meta           hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal        stream  one record per change                                  append
  3 due            zset    event_id -> when its next hold runs out, Unix ms       write
  4 attempts_even  hash    user_id -> when they have all attempts again, Unix ms  read, write
  5 attempts_odd   hash    the same, of every other window                        read, write
  6..16 event      keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch        string  epoch[:seq] the caller believes in
  2 event_id     string  one per event, in the order of KEYS
  then the orders, up to 128, in columns:
  3 shape        string  how many orders, how many kinds, and 3, or 4 where there are details; then
                         the limit: attempts of a person within a window, and its ms; 0 0 for none
  4 kinds        string  a byte for each order: of which kind it is, 0 for the first, 1, ...
  5 asked        string  one per kind, what is asked for: event_no ttl_ms ~CODE tier_no:quantity;...
                         event_no: 1.. which of the events; ttl_ms: not used, 0; ~ alone where there
                         is no code; 1..10 lines of distinct tiers, 1..10 places each, alone, or
                         followed by a colon and which seats: s<section>-<seat>+..., or
                         best[,split][,accessible]
  6 booking_id   string  one per order, derived from user, event and idempotency key
  7 user_id      string  one per order, whose it is
  8 fingerprint  string  one per order, hash of the request; behind it ! where the box office sells
                         beyond what one person may have, and a promo code ~CODE
  9 detail       string  one per order where shape says 4, a JSON object kept with it; else {}
 10 lines        string  the journal's lines of all, should all be plainly booked: see
                         `engine.framing`; templates are numbered by kind, those with details apart

Returns one text, ALL and what BOOKED has of the last order, with the items of each kind, if all
were plainly booked, one after the other; else a line per order, in order, of words (first that
applies)
  REPLAYED                epoch, seq, at_ms, items   the first reply again; if it has changed since,
                                                     status, version, when it was cancelled
  IDEMPOTENCY_KEY_REUSED                             known booking_id, other fingerprint
  RATE_LIMITED            attempts_max, window_ms, retry_after_ms   transient
  EVENT_DAMAGED                                      a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                                        the event is not loaded
  EVENT_CANCELLED                                    it was cancelled, which is final
  SALE_NOT_OPEN           opens_at_ms                transient; with the line if it is a tier's
  SALE_CLOSED             closes_at_ms               with the line if it is a tier's
  EVENT_ENDED             ends_at_ms                 with the line if it is a tier's
  BACKPRESSURE                                       transient: PostgreSQL is too far behind
  UNKNOWN_TIER            line                       also hidden, and no code unlocks it
  LIMIT_REACHED           scope, max, taken          scope: order, order_min, person, tier
  PROMO_UNKNOWN                                      no such code, or not for these tiers
  PROMO_EXHAUSTED         uses_max                   may return with a hold or a cancellation
  SOLD_OUT                line, available
  ALL_HELD                line, available            transient: held places may return; with
                                                     retry_after_ms where known, and nobody waits
  KEPT_FOR_WAITLIST       line, available            enough are free, for those who wait
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
local events, argv = bind_events(6), ARGV
local orders = bind_orders(events, figures(), 2 + #events)
if not orders then return redis.error_reply('BADARG order') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
read_orders(events, orders, 'bookings')
for _, event in ipairs(events) do
  event.is_open = event.person_max ~= nil and not event.is_damaged
    and shard.at_ms >= event.opens_at_ms and shard.at_ms < event.closes_at_ms
end
find_plain(orders)
local limit = read_order_attempts(orders, shard.at_ms, KEYS[4], KEYS[5])

-- Check. Decisions change the tables above and nothing else.
local before, behind = epoch .. ' ', ' ' .. shard.at_text .. ' '

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

local function decide(order)
  if not order.event.is_looked_at then look({ order.event }) end
  local row = find_rows(order, order.event.booking_of)
  if not row then
    local refusal = refuse(shard, order) or seat_order(shard, order)
    return refusal and table.concat(refusal, ' ') or take(order)
  end
  row = unmarked(row)
  local place, fingerprint, items =
    string.match(row, '^%S+ %S+ (%S+ %S+ %S+ )%S+ (%S+) (%S+)')
  if fingerprint ~= order.fingerprint then return 'IDEMPOTENCY_KEY_REUSED' end
  return table.concat({ 'REPLAYED', place .. items, unpack(changed_since(row) or {}) }, ' ')
end

-- From here on not all of the batch is plain: note what was taken before the `n`th order.
local replies, is_whole, first_seq = {}, not events[2], shard.seq
local function give_up_whole(n)
  for m = 1, is_whole and n - 1 or 0 do
    replies[m] = note_plain(shard, orders, m, first_seq + m)
  end
  is_whole = false
end

-- What was taken of an event up to record `seq`: until then it is in locals alone.
local function settle(event, words, seq)
  if words > event.plain_words then
    shard.seq, shard.room = seq, shard.room - (seq - shard.seq)
    event.plain_words, event.noted_seq, shard.tens = words, seq, nil
  end
end

local ids, user_ids, fingerprints = orders.ids, orders.user_ids, orders.fingerprints
local kinds, kind_of, numbers, digits = orders.kinds, orders.kind_of, orders.numbers, shard.digits
local count = orders.count

-- Answer orders from the `n`th on, as long as they are plain: one line of a tier with no rules, no
-- seats and no list, no promo code, enough left or nothing held. Return the first that is not.
-- Most orders of a rush are, so locals do it, since a field costs as much as three of them. As long
-- as all are taken, nothing is noted: `note_whole` notes all at once. Nobody else's booking has the
-- id of an order, which is derived from its user, so only one who comes again can come with the
-- same.
local function answer_plain(n)
  local asked, event, tier, quantity, row_tail
  local rows, persons, person_max, taken_of, booking_of, bookings, counts, words
  local seq, seq_max, tens_seq, row_lead = shard.seq, shard.seq + shard.room, -10, nil
  while n <= count do
    if kinds[kind_of[n]] ~= asked then
      asked = kinds[kind_of[n]]
      tier, quantity, row_tail = asked.plain_tier, asked.places, asked.row_tail
      if asked.event ~= event then
        if event then settle(event, words, seq) end
        event = asked.event
        rows, persons, person_max = event.rows, event.persons_read, event.person_max
        taken_of, booking_of, words = event.taken, event.booking_of, event.plain_words
        bookings, counts = event.plain_bookings, event.plain_persons
      end
    end
    local id, user_id, number = argv[ids + n], argv[user_ids + n], (numbers and numbers[n] or n) + 1
    local taken, is_known = taken_of[user_id], rows[number] or booking_of[id]
    if taken then
      for w = 1, words, 2 do is_known = is_known or bookings[w] == id and bookings[w + 1] end
      booking_of[id] = booking_of[id] or is_known
    else
      taken = persons[number]
    end
    taken = taken and tonumber(taken) + quantity or quantity
    -- What is known is told again and costs no attempt (I6).
    local wait_ms = limit and not is_known and count_attempt(limit, user_id, n, shard.at_ms)
    if wait_ms then
      give_up_whole(n)
      replies[n] = table.concat(
        { 'RATE_LIMITED', limit.attempts_max, limit.window_ms, wait_ms }, ' ')
    elseif not tier or is_known or taken > person_max or seq >= seq_max then
      break
    elseif quantity <= tier.available then
      seq = seq + 1
      local digit = digits[seq - tens_seq]
      if not digit then
        tens_seq = seq - seq % 10
        row_lead, digit = 'confirmed 1 ' .. before
          .. string.sub(string.format('%.0f', seq), 1, -2), digits[seq - tens_seq]
      end
      tier.available = tier.available - quantity
      bookings[words + 1], bookings[words + 2] = id, row_lead .. digit .. behind .. user_id .. ' '
        .. argv[fingerprints + n] .. row_tail
      counts[words + 1], counts[words + 2] = user_id, digits[taken] or taken
      words, taken_of[user_id] = words + 2, taken
      if not is_whole then replies[n] = note_plain(shard, orders, n, seq) end
    elseif tier.held == 0 then
      -- What `refuse` would say of it: all others of a rush get this, when it is over.
      give_up_whole(n)
      replies[n] = 'SOLD_OUT 1 ' .. (digits[tier.available] or tier.available)
    else
      break
    end
    n = n + 1
  end
  if event then settle(event, words, seq) end
  return n
end

local n = answer_plain(1)
while n <= count do
  give_up_whole(n)
  replies[n] = decide(bind_order(orders, n))
  orders.tens = nil
  n = answer_plain(n + 1)
end

-- Of a tier nothing is lost: sold is what is neither left nor held of all there was.
for _, event in ipairs(events) do
  for _, tier in pairs(event.tiers) do
    if tier and tier.is_plain then
      local sold = tier.total - tier.available - tier.held
      if sold ~= tier.sold then tier.sold, tier.is_changed = sold, true end
    end
  end
end
local whole = is_whole and note_whole(shard, orders)
promote(shard, events)

-- Apply.
apply(shard, events, due)
if limit then keep_attempts(limit, shard.at_ms) end

-- Reply. One text, since a rush pays for every value of a reply, here and in the worker.
return whole or table.concat(replies, '\n')
