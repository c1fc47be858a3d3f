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
  3 booking_id   string  derived from user, event and idempotency key
  4 user_id      string  whose order
  5 fingerprint  string  hash of the request, with a promo code ~CODE behind it
  6 asked        string  event_no ttl_ms ~CODE tier_no:quantity;... detail
                         event_no: 1.. which of the events; ttl_ms: not used, 0; ~ alone where there
                         is no code; 1..10 lines of distinct tiers, 1..10 places each, alone, or
                         followed by a colon and which seats: s<section>-<seat>+..., or
                         best[,split][,accessible]; detail: JSON object kept with it

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
local events, argv = bind_events(), ARGV
local orders = bind_orders(events, figures(), 2 + #events)
if not orders then return redis.error_reply('BADARG order') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
read_orders(events, orders, 'bookings')
for _, event in ipairs(events) do event.is_open = is_open(shard, event) end

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
  local row = find_rows(order, order.event.booking_of)
  if not row then
    local refusal = refuse(shard, order) or seat_order(shard, order)
    return refusal and table.concat(refusal, ' ') or take(order)
  end
  local place, fingerprint, items =
    string.match(row, '^%S+ %S+ (%S+ %S+ %S+ )%S+ (%S+) (%S+)')
  return fingerprint == order.fingerprint and 'REPLAYED' .. ' ' .. place .. items
    or 'IDEMPOTENCY_KEY_REUSED'
end

-- Most orders of a rush obviously fit: one line of a tier with no rules, no seats and no list, no
-- promo code, enough left. They are taken right here, in locals, since a field costs as much as
-- three of them; all others, and every refusal, go by `decide`.
local event, rows, persons, taken_of, booking_of, person_max
local seq, seq_max, count, unfolded = shard.seq, shard.seq + shard.room, 0, 0
local bookings, booking_words, new_persons, person_words
local digits, records, first, tens, row_lead, reply_lead = shard.digits, shard.records, math.huge

-- Put the locals back where everything else looks for them.
local function settle()
  shard.seq, shard.room, shard.count, shard.unfolded = seq, seq_max - seq, count, unfolded
  shard.tens = tens
  if event then event.new_count, event.person_words = booking_words, person_words end
end

-- Take them out again, those of `its`.
local function resume(its)
  event, rows, persons, person_max = its, its.rows, its.persons_read, its.person_max
  taken_of, booking_of, new_persons, bookings = its.taken, its.booking_of, its.new_persons,
    its.new_bookings
  booking_words, person_words = its.new_count, its.person_words
  seq, seq_max, count, unfolded = shard.seq, shard.seq + shard.room, shard.count, shard.unfolded
end

local replies, asked_of, numbers, a = {}, orders.asked_of, orders.numbers, orders.before
for n = 1, orders.count do
  local asked = asked_of[n]
  local tier, quantity = asked.plain_tier, asked.places
  a = a + 4
  local id, user_id, number = argv[a], argv[a + 1], numbers[n] or n
  if asked.event ~= event then
    settle()
    resume(asked.event)
  end
  if tier == nil then
    tier = plain_tier(asked)
    asked.plain_tier = tier
  end
  local taken = taken_of[user_id] or persons[number]
  taken = taken and tonumber(taken) + quantity or quantity
  if tier and quantity <= tier.available and taken <= person_max and seq < seq_max
    and not (rows[number] or booking_of[id]) then
    seq = seq + 1
    local digit, lead, fingerprint = digits[seq - first], asked.lead, argv[a + 2]
    if not digit then
      tens, first = string.sub(string.format('%.0f', seq), 1, -2), seq - seq % 10
      row_lead, reply_lead = 'confirmed 1 ' .. before .. tens, 'BOOKED ' .. before .. tens
      digit = digits[seq - first]
    end
    if not lead then
      lead, count, unfolded = write_template(shard, asked, count, unfolded)
    end
    count, unfolded = count + 1, unfolded + asked.unfolded
    records[count] = lead .. id .. '\t' .. user_id .. '\t' .. fingerprint .. asked.tail
    tier.available = tier.available - quantity
    local row = row_lead .. digit .. behind .. user_id .. ' ' .. fingerprint .. asked.row_tail
    taken_of[user_id], booking_of[id] = taken, row
    booking_words, person_words = booking_words + 2, person_words + 2
    bookings[booking_words - 1], bookings[booking_words] = id, row
    new_persons[person_words - 1], new_persons[person_words] = user_id, digits[taken] or taken
    replies[n] = reply_lead .. digit .. asked.reply_tail
  else
    settle()
    replies[n] = decide(bind_order(orders, n))
    resume(event)
  end
end
settle()
settle_tiers(events)
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply. One text, since a rush pays for every value of a reply, here and in the worker.
return table.concat(replies, '\n')
