#!lua
--[[
hold: set places of one or more tiers aside until a deadline, for many orders at once.

Guarantees   I1 never oversold; I6 one hold per idempotency key; I12 live holds count. Who tries too
             often, or has too many open, is refused. Nothing is held beyond the event's end.
Atomicity    Each order all or nothing; every check precedes the first write of the batch.
Idempotency  A known hold_id gives its first reply again, with the deadline as it is now.
Cost         O(orders + lines + holds open to those who ask); 6 reads and 5 writes per event, 2
             reads and 1 write per call, and 1 XADD per call; 2 reads and 2 writes more where
             attempts are limited, and as many, with 1 read more per event, where open holds are.
             Where too little is left, up to 50 overdue holds are ended first.
             Where somebody waits, up to 20 entries of each tier are read and offered places.

KEYS (one hash tag: the shard's)
  1 meta           hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal        stream  one record per change                                  append
  3 due            zset    event_id -> when its next hold runs out, Unix ms       write
  4 attempts_even  hash    user_id -> when they have all attempts again, Unix ms  read, write
  5 attempts_odd   hash    the same, of every other window                        read, write
  6 opened_even    hash    event_id/user_id, event_id@origin -> hold_id ...       read, write
  7 opened_odd     hash    the same, of every other window                        read, write
  8..18 event      keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch        string  epoch[:seq] the caller believes in
  2 event_id     string  one per event, in the order of KEYS
  then the orders, up to 128, in columns, as `book` has them:
  3 shape        string  how many orders, how many kinds, and 3, or 4 where there are details; then
                         the limit: attempts of a person within a window, and its ms; 0 0 for none
  4 kinds        string  a byte for each order: of which kind it is, 0 for the first, 1, ...
  5 asked        string  one per kind, what is asked for: event_no ttl_ms ~CODE tier_no:quantity;...
                         ttl_ms: 1.. how long, from Redis time
  6 hold_id      string  one per order, derived from user, event and idempotency key
  7 user_id      string  one per order, whose it is
  8 fingerprint  string  one per order, hash of the request, with a promo code ~CODE behind it
  9 detail       string  one per order where shape says 4, a JSON object kept with it; else {}
 10 bounds       string  none if empty; else person_max address_max life_ms percent least_ms: holds
                         open to a person and to an address, the longest life of a hold, below what
                         share of a tier holds are shorter, and how short; then for each order where
                         it comes from, or -

Returns one array per order, in order (first that applies)
  REPLAYED                epoch, seq, at_ms, items, expires_at_ms   the first reply again
  IDEMPOTENCY_KEY_REUSED                             known hold_id, other fingerprint
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
  TOO_MANY_HOLDS          scope, max, retry_after_ms   transient; scope: person, address
  UNKNOWN_SEAT            line, seat_id              not a seat of that tier, or named twice
  SEAT_TAKEN              line, seat_id
  NOT_TOGETHER            line, available            enough are left, but not side by side
  HELD                    epoch, seq, at_ms, items, expires_at_ms

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `held`: hold_id, user_id, fingerprint, items, expires_at_ms, detail; `expired`
             Where somebody waits: `offered`, `stalled`, `left`, as `join`
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events(8)
local orders = bind_orders(events, figures(), 2 + #events)
if not orders then return redis.error_reply('BADARG order') end
local bounds = orders.lines ~= '' and bind_bounds(orders.lines, orders.count)
if bounds == nil then return redis.error_reply('BADARG bounds') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
read_orders(events, orders, 'holds')
local limit = read_order_attempts(orders, shard.at_ms, KEYS[4], KEYS[5])
if bounds then read_opened(orders, bounds, shard.at_ms, KEYS[6], KEYS[7]) end

-- Check. Decisions change the tables above and nothing else.
local function set_aside(order)
  local event, items, rows = order.event, price(order)
  local ttl_ms = bounds and
    shorten(event, order.lines, order.ttl_ms, bounds.percent, bounds.least_ms) or order.ttl_ms
  local expires_at_ms = before_end(event, order.lines, shard.at_ms + ttl_ms)
  move(event, order.lines, 'available', 'held', order.user_id, order.places)
  use_promo(event, order.fingerprint, 1)
  local seq = note(shard, event, 'held', '"hold_id":"' .. order.id .. '","user_id":"'
    .. order.user_id .. '","fingerprint":"' .. order.fingerprint .. '","items":' .. rows
    .. ',"expires_at_ms":' .. string.format('%.0f', expires_at_ms)
    .. ',"detail":' .. order.detail)
  keep_hold(shard, event, { hold_id = order.id, status = 'held', version = 1, epoch = epoch,
    seq = seq, at_ms = shard.at_ms, user_id = order.user_id, fingerprint = order.fingerprint,
    items = items, expires_at_ms = expires_at_ms, detail = order.detail }, seq)
  event.new_deadlines[order.id] = expires_at_ms
  if bounds then note_opened(bounds, order) end
  return { 'HELD', epoch, seq, shard.at_ms, items, expires_at_ms }
end

local function decide(order, n)
  return refuse_attempt(limit, order.user_id, n, shard.at_ms) or refuse(shard, order)
    or (bounds and refuse_opener(shard, bounds, order, n)) or seat_order(shard, order)
    or set_aside(order)
end

local replies = {}
for n = 1, orders.count do
  local order = bind_order(orders, n)
  local row = find_rows(order, order.event.hold_of)
  local hold = row and parse_hold(order.id, row)
  if hold and hold.fingerprint ~= order.fingerprint then
    replies[n] = { 'IDEMPOTENCY_KEY_REUSED' }
  elseif hold then
    replies[n] = { 'REPLAYED', hold.epoch, hold.seq, hold.at_ms, hold.items,
      hold.expires_at_ms }
  else
    replies[n] = decide(order, n)
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)
if limit then keep_attempts(limit, shard.at_ms) end
if bounds then keep_opened(bounds) end

-- Reply.
return replies
