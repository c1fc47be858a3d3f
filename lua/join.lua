#!lua
--[[
join: put people on the waitlist of a tier, with the size of their party.

Guarantees   I9: order of joining; one live entry per person and tier; I12 with the whole party.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  A known entry_id gives its first reply again, whatever became of it.
Cost         O(commands); 8 reads and 8 writes per event, 2 reads, 1 write and 1 XADD
             per call, 2 reads and 2 writes more where attempts are limited. Up to 20 entries of a
             tier may be offered places that are free.

KEYS (one hash tag: the shard's)
  1 meta           hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal        stream  one record per change                                  append
  3 due            zset    event_id -> when its next hold runs out, Unix ms       write
  4 attempts_even  hash    user_id -> when they have all attempts again, Unix ms  read, write
  5 attempts_odd   hash    the same, of every other window                        read, write
  6..16 event      keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch          string  epoch[:seq] the caller believes in
  2 event_id       string  one per event, in the order of KEYS
  then for each command, up to 128:
  3 event_no       int     1.. which of the events
  4 entry_id       string  derived from user, event and idempotency key
  5 user_id        string  who waits
  6 fingerprint    string  hash of the request
  7 tier_no        int     1..999 for which tier
  8 quantity       int     1..10 places, all or nothing
  9 policy         string  strict or skip: how the event's list is led
 10 patience_ms    int     0.. how long a party that does not fit may stop a strict list
 11 offer_ttl_ms   int     1.. how long an offer lasts at least, if the event does not say it
 12 waiting_max    int     1.. entries that a tier's list may have
 13 after_hold     string  expired hold of theirs that gives the first place, once; or booking_id/n,
                           of one that was lost, told by who has seen its receipt alone; or -
 14 attempts_max   int     attempts of a person within a window, the same for all; 0 for no limit
 15 window_ms      int     the window

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                                  a key of it is lost, and it is being rebuilt
  REPLAYED                epoch, seq, at_ms      the first reply again
  IDEMPOTENCY_KEY_REUSED                         known entry_id, other fingerprint
  RATE_LIMITED            attempts_max, window_ms, retry_after_ms   transient
  NOT_ON_SALE                                    the event is not loaded
  EVENT_CANCELLED                                it was cancelled, which is final
  SALE_NOT_OPEN           opens_at_ms            transient
  SALE_CLOSED             closes_at_ms
  EVENT_ENDED             ends_at_ms
  BACKPRESSURE                                   transient: PostgreSQL is too far behind
  UNKNOWN_TIER            line                   also hidden: such a tier has no list
  LIMIT_REACHED           scope, max, taken      scope: order, order_min, tier or person
  PARTY_TOO_LARGE         max                    places of the tier that are not blocked
  ALREADY_WAITING         entry_id               their live entry for this tier
  PLACES_AVAILABLE        available              nobody waits and it fits: book
  WAITLIST_FULL           waiting                transient
  JOINED                  epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `joined`: entry_id, user_id, fingerprint, tier_no, quantity, join_no, policy,
             patience_ms, offer_ttl_ms, after_hold; and `expired`, `offered`, `stalled`, `left`
]]

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events(6)
local commands = bind_commands(events, 2 + #events, 13)
if not commands then return redis.error_reply('BADARG command') end
for _, c in ipairs(commands) do
  c.entry_id, c.user_id, c.fingerprint = c[1], c[2], c[3]
  c.tier_no, c.quantity = c[4], tonumber(c[5])
  c.policy, c.after_hold, c.waiting_max = c[6], c[10], tonumber(c[9])
  c.lost_id = string.match(c.after_hold, '^(bk_%w+)/%d+$')
  for word = 4, 9 do
    -- They stand in the journal as written, so only plain digits may pass.
    if word ~= 6 and not string.find(c[word], '^%d+$') then
      return redis.error_reply('BADARG figure')
    end
  end
  if c.quantity < 1 or c.quantity > 10 or #c.tier_no > 3
    or (c.policy ~= 'strict' and c.policy ~= 'skip') then
    return redis.error_reply('BADARG command')
  end
end
local limit = bind_command_limit(commands, 11)
if limit == nil then return redis.error_reply('BADARG limit') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
for _, event in ipairs(events) do
  event.ids, event.names, event.user_ids, event.hold_ids, event.tier_nos = {}, {}, {}, {}, {}
  event.lost_ids = {}
end
for _, c in ipairs(commands) do
  -- Whose live entry for a tier is which, and which hold has given a first place, stand beside
  -- the entries.
  c.own, c.once = c.tier_no .. ':' .. c.user_id, 'first:' .. c.after_hold
  local event = c.event
  event.ids[#event.ids + 1], event.user_ids[#event.user_ids + 1] = c.entry_id, c.user_id
  event.hold_ids[#event.hold_ids + 1], event.tier_nos[c.tier_no] = c.after_hold, true
  event.names[#event.names + 1], event.names[#event.names + 2] = c.own, c.once
  event.lost_ids[#event.lost_ids + 1] = c.lost_id
end
for _, event in ipairs(events) do
  event.kept, event.pointers = {}, {}
  read_rows(event.stock, { 'waitlist.joined', 'waitlist.first', 'offer_ttl_ms' }, event.kept)
  read_rows(event.entries, event.ids, event.entry_of)
  read_rows(event.entries, event.names, event.pointers)
  read_rows(event.persons, event.user_ids, event.taken)
  read_rows(event.holds, event.hold_ids, event.hold_of)
  if event.lost_ids[1] then read_bookings(event, event.lost_ids) end
  read_stock(event, event.tier_nos)
end

read_command_attempts(limit, commands, shard.at_ms, KEYS[4], KEYS[5])

-- Check. Decisions change the tables above and nothing else.
local function live_entry(c)
  local entry_id = c.event.pointers[c.own]
  local entry = entry_id and find_entries(c.event, { entry_id })[1]
  return entry and (entry.status == 'waiting' or entry.status == 'offered') and entry_id
end

local function refuse_entry(c)
  local event, tier = c.event, c.event.tiers[c.tier_no]
  local refusal = refuse_sale(shard, event)
  if refusal then return refusal end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  if not tier or is_locked(event, c.tier_no, '') then return { 'UNKNOWN_TIER', 1 } end
  refusal = refuse_line(shard, tier, c.quantity)
  if refusal then return refusal end
  local most, left, without_holds = most_of(tier), left_in(event, tier, 0)
  if c.quantity > most then return { 'PARTY_TOO_LARGE', most } end
  if c.quantity > left and without_holds > left and not event.is_reclaimed then
    event.is_reclaimed = true
    reclaim(shard, event, 50)
  end
  local taken = tonumber(event.taken[c.user_id] or 0)
  if taken + c.quantity > event.person_max then
    return { 'LIMIT_REACHED', 'person', event.person_max, taken }
  end
  local had = tier_taken(event, c.tier_no, c.user_id)
  if had and had + c.quantity > tier.person_max then
    return { 'LIMIT_REACHED', 'tier', tier.person_max, had }
  end
  local live = live_entry(c)
  if live then return { 'ALREADY_WAITING', live } end
  left = left_in(event, tier, 0)
  if c.quantity <= left and not is_kept(shard, event, tier) then
    return { 'PLACES_AVAILABLE', left }
  end
  if tier.waiting >= c.waiting_max then return { 'WAITLIST_FULL', tier.waiting } end
end

local function is_first(c)
  if c.event.pointers[c.once] then return false end
  if c.lost_id then return not c.event.booking_of[c.lost_id] end
  local row = c.event.hold_of[c.after_hold]
  local hold = row and parse_hold(c.after_hold, row)
  if not hold or hold.user_id ~= c.user_id or hold.status ~= 'expired'
    or string.sub(c.after_hold, 1, 5) ~= 'hold_' then
    return false
  end
  for _, line in ipairs(lines_of(hold.items)) do
    if line.tier_no == c.tier_no and c.quantity <= line.quantity then return true end
  end
  return false
end

local function add(c)
  local event, counter = c.event, 'waitlist.joined'
  local is_before = is_first(c)
  if is_before then
    counter = 'waitlist.first'
    event.pointers[c.once], event.new_entries[c.once] = c.entry_id, c.entry_id
  end
  local number = tonumber(event.kept[counter] or 0) + 1
  event.kept[counter] = number
  -- Those with a first place come before all others, in the order of their joining.
  local join_no = string.format('%012.0f', is_before and number or number + 100000000000)
  event.rules = { policy = c.policy, patience_ms = tonumber(c[7]), offer_ttl_ms = tonumber(c[8]),
    own_ttl_ms = tonumber(event.kept.offer_ttl_ms) }
  event.new_stock = { 'waitlist.policy', c.policy, 'waitlist.patience_ms', c[7],
    'waitlist.offer_ttl_ms', c[8], 'waitlist.joined', event.kept['waitlist.joined'] or 0,
    'waitlist.first', event.kept['waitlist.first'] or 0 }
  local seq = note(shard, event, 'joined', '"entry_id":"' .. c.entry_id .. '","user_id":"'
    .. c.user_id .. '","fingerprint":"' .. c.fingerprint .. '","tier_no":' .. c.tier_no
    .. ',"quantity":' .. c.quantity .. ',"join_no":"' .. join_no .. '","policy":"' .. c.policy
    .. '","patience_ms":' .. c[7] .. ',"offer_ttl_ms":' .. c[8] .. ',"after_hold":"'
    .. (is_before and c.after_hold or '') .. '"')
  local reply = done(shard, 'JOINED', seq)
  event.pointers[c.own], event.new_entries[c.own] = c.entry_id, c.entry_id
  keep_entry(shard, event, { entry_id = c.entry_id, status = 'waiting', version = 1, epoch = epoch,
    seq = seq, at_ms = shard.at_ms, user_id = c.user_id, fingerprint = c.fingerprint,
    tier_no = c.tier_no, quantity = c.quantity, join_no = join_no, stalled_at_ms = 0,
    member = string.format('%03d:%s:%s', c.tier_no, join_no, c.entry_id) }, seq)
  return reply
end

local replies = {}
for n, c in ipairs(commands) do
  local row = c.event.entry_of[c.entry_id]
  local entry = row and parse_entry(c.entry_id, row)
  if c.event.is_damaged then
    replies[n] = { 'EVENT_DAMAGED' }
  elseif entry and entry.fingerprint ~= c.fingerprint then
    replies[n] = { 'IDEMPOTENCY_KEY_REUSED' }
  elseif entry then
    replies[n] = { 'REPLAYED', entry.epoch, entry.seq, entry.at_ms }
  else
    replies[n] = refuse_attempt(limit, c.user_id, n, shard.at_ms) or refuse_entry(c) or add(c)
  end
end
promote(shard, events)

-- Apply.
apply(shard, events, due)
if limit then keep_attempts(limit, shard.at_ms) end

-- Reply.
return replies
