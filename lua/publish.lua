#!lua
--[[
publish: load an event's stock, so that it may be sold.

Guarantees   I1: all of a tier's capacity is available at the start, and a pool's for all of its
             tiers together. I2: a seated tier's capacity is
             the number of its seats, all of which are loaded (`seat`).
Atomicity    All or nothing.
Idempotency  A loaded event with the same fingerprint gives the first reply again.
Cost         O(tiers + sections); 13 reads, 15 writes.

KEYS (one hash tag: the shard's)
  1 meta      hash    epoch, state, seq, persisted_seq, backlog_max   read, write
  2 journal   stream  one record per change                           append
  3 events    set     ids of the loaded events                        read, write
  4..14 event keys    the eleven of an event, as `bind_events` says   read, write

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string
  3 fingerprint   string  hash of what is loaded
  4 opens_at_ms   int     sale window, Unix ms
  5 closes_at_ms  int     sale window, Unix ms, above opens_at_ms
  6 person_max    int     1.. places one person may have
  7 tier_count    int     1..100
  then for each tier, numbered from 1:
  8 capacity      int     0.. places
  9 price_minor   int     0.. minor units of the event's currency
 10 order_max     int     1..10 places in one booking
 then, once:
 11 section_count int     0..200 sections of seats, numbered from 1; may be left out
  then for each tier that has rules of its own, 0 for those that it does not have:
 12 tier_no       int     1..
 13 order_min     int     places that an order must have at least, up to order_max
 14 tier_max      int     places that one person may have of it
 15 tier_opens    int     sale window of the tier, within the event's, Unix ms
 16 tier_closes   int     sale window of the tier, Unix ms, above tier_opens
 17 is_hidden     int     1 if only a promo code that names the tier unlocks it
  then, if there are any:
 18 promos        string  CODE:uses_max:percent:amount:tier_no+tier_no,... up to 100
  then, if the event has rules of its own, those of `engine.records.Rules`:
 19 rules         string  name=value,...

Returns (first that applies)
  EVENT_DAMAGED                               a key of it is lost, and it is being rebuilt
  REPLAYED                epoch, seq, at_ms
  IDEMPOTENCY_KEY_REUSED                      loaded with other content
  NOT_UPGRADED                                tiers share places, which version 1 cannot say
  PUBLISHED               epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `published`: opens_at_ms, closes_at_ms, person_max, tiers, sections,
             promos, rules
]]

-- Bind the rules of tiers that have any: from ARGV `r` to `last`, six words each, into `tiers`.
-- Returns the hidden tiers as `+tier_no+tier_no+`, or empty; nil if a word is not what it must be,
-- which is a bug in the caller.
local function bind_rules(tiers, r, last)
  local hidden = ''
  while r <= last do
    local tier = tiers[tonumber(ARGV[r])]
    local order_min, person_max = tonumber(ARGV[r + 1]), tonumber(ARGV[r + 2])
    local opens_at_ms, closes_at_ms = tonumber(ARGV[r + 3]), tonumber(ARGV[r + 4])
    if r + 5 > last or not (tier and order_min and person_max and opens_at_ms and closes_at_ms)
      or tier.rules
      or order_min > tonumber(tier.order_max)
      or (closes_at_ms > 0 and closes_at_ms <= opens_at_ms)
      or (ARGV[r + 5] ~= '0' and ARGV[r + 5] ~= '1') then
      return nil
    end
    tier.rules = { order_min = ARGV[r + 1], person_max = ARGV[r + 2],
      opens_at_ms = ARGV[r + 3], closes_at_ms = ARGV[r + 4] }
    tier.rules_text = ',' .. table.concat({ unpack(ARGV, r + 1, r + 5) }, ',')
    if ARGV[r + 5] == '1' then
      hidden = (hidden == '' and '+' or hidden) .. tonumber(ARGV[r]) .. '+'
    end
    r = r + 6
  end
  return hidden
end

-- Bind the event's own rules, `name=value,...`: as words of HSET, and as the JSON that follows in
-- the record. Version 1 cannot say them, so then they are not in force. Returns nil if it is none.
local function bind_event_rules(text)
  local words, pairs_text, chars = {}, {}, -1
  for name, value in string.gmatch(text, '([a-z_]+)=(%w+)') do
    words[#words + 1], words[#words + 2] = name, value
    pairs_text[#pairs_text + 1] = '"' .. name .. '":'
      .. (string.find(value, '^%d+$') and value or '"' .. value .. '"')
    chars = chars + #name + #value + 2
  end
  if chars ~= #text then return nil end
  if records_version() < 2 then return {}, '' end
  return words, ',"rules":{' .. table.concat(pairs_text, ',') .. '}'
end

-- Tell whether the pools that a rule names can be: `p<capacity>t<tier_no>t<tier_no>t...`, tiers of
-- the event that have no seats, each in one pool at most.
local function are_pools(rule, tiers)
  local chars, seen = 0, {}
  for capacity, tier_nos in string.gmatch(rule, 'p(%d+)(t[t%d]+t)') do
    for tier_no in string.gmatch(tier_nos, '[^t]+') do
      local tier = string.find(tier_no, '^[1-9]') and tiers[tonumber(tier_no)]
      if not tier or tier.sections or seen[tier] then return false end
      seen[tier] = true
    end
    if string.find(tier_nos, 'tt', 1, true) or #capacity > 10 then return false end
    chars = chars + 1 + #capacity + #tier_nos
  end
  return chars == #rule
end

-- Count the seats of the loaded sections, and give each seated tier the list of its sections.
-- Returns the sections as the JSON that follows in the record; nil if one is not loaded, is of no
-- tier, or a tier's capacity is not the number of its seats.
local function count_seats(seats, tiers, section_count)
  if section_count == 0 then return '' end
  local fields, rows, counts = {}, {}, {}
  for n = 1, section_count do
    fields[2 * n - 1], fields[2 * n] = n .. '.layout', n .. '.status'
  end
  local loaded = redis.call('HMGET', seats, unpack(fields))
  for n = 1, section_count do
    local layout, status = loaded[2 * n - 1], loaded[2 * n]
    local tier_no = layout and tonumber(string.match(layout, '^%d+'))
    local tier = tiers[tier_no or 0]
    if not tier or not status then return nil end
    local _, count = string.gsub(status, 'f', 'f')
    tier.sections = tier.sections and tier.sections .. ',' .. n or tostring(n)
    counts[tier_no] = (counts[tier_no] or 0) + count
    rows[n] = '[' .. n .. ',' .. tier_no .. ',' .. count .. ']'
  end
  for tier_no, count in pairs(counts) do
    if tonumber(tiers[tier_no].capacity) ~= count then return nil end
  end
  return ',"sections":[' .. table.concat(rows, ',') .. ']'
end

-- Bind.
local meta, journal, listed = KEYS[1], KEYS[2], KEYS[3]
local events = bind_events()
local event = events[1]
local stock, seats, promos = event.stock, event.seats, event.promos
local epoch, seen_seq = read_epoch(ARGV[1])
local event_id, fingerprint = event.event_id, ARGV[3]
local opens_at_ms, closes_at_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local person_max, tier_count = tonumber(ARGV[6]), tonumber(ARGV[7])
local last = #ARGV
local own_rules = string.find(ARGV[#ARGV], '^[a-z_]+=') and ARGV[#ARGV]
if own_rules then last = last - 1 end
local codes = string.find(ARGV[last], '^[A-Z0-9_-]+:') and ARGV[last]
if codes then last = last - 1 end
for a = 4, last do
  -- They stand in the journal as written, so only plain digits may pass.
  if not string.find(ARGV[a], '^%d+$') then return redis.error_reply('BADARG figure ' .. a) end
end
if not (opens_at_ms and closes_at_ms and person_max and tier_count) or person_max < 1
  or closes_at_ms <= opens_at_ms
  or tier_count < 1 or tier_count > 100 or last < 7 + 3 * tier_count then
  return redis.error_reply('BADARG event')
end
local section_count = tonumber(last > 7 + 3 * tier_count and ARGV[8 + 3 * tier_count] or 0)
if section_count > 200 then return redis.error_reply('BADARG sections') end
local tiers = {}
for n = 1, tier_count do
  local a = 5 + 3 * n
  local capacity, price, order_max = tonumber(ARGV[a]), tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2])
  if not (capacity and price and order_max) or capacity < 0 or price < 0 or order_max < 1
    or order_max > 10 then
    return redis.error_reply('BADARG tier ' .. n)
  end
  tiers[n] = { capacity = ARGV[a], price_minor = ARGV[a + 1], order_max = ARGV[a + 2] }
end
local hidden = bind_rules(tiers, 9 + 3 * tier_count, last)
if not hidden then return redis.error_reply('BADARG rules') end
local codes_bound, promo_words, promo_rows = bind_promos(codes or '', tier_count), {}, {}
if not codes_bound then return redis.error_reply('BADARG promos') end
for n, promo in ipairs(codes_bound) do
  local w = #promo_words
  promo_words[w + 1], promo_words[w + 2] = promo.code, promo.rule
  promo_words[w + 3], promo_words[w + 4] = promo.code .. '.used', '0'
  promo_rows[n] = promo.row
end
promo_rows = codes and ',"promos":[' .. table.concat(promo_rows, ',') .. ']' or ''
local pools = own_rules and string.match(own_rules, 'pools=(%w+)')
local rule_words, rule_text = {}, ''
if own_rules then rule_words, rule_text = bind_event_rules(own_rules) end
if not rule_words then return redis.error_reply('BADARG rules') end

-- Fence and replay.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
local known = redis.call('HMGET', stock, 'fingerprint', 'epoch', 'seq', 'at_ms')
local was_listed = redis.call('SISMEMBER', listed, event_id) == 1
if event.is_damaged or was_listed and not known[1] then return { 'EVENT_DAMAGED' } end
if known[1] then
  if known[1] ~= fingerprint then return { 'IDEMPOTENCY_KEY_REUSED' } end
  return { 'REPLAYED', known[2], known[3], known[4] }
end

-- Check: the types of the keys not read above, since what is written below must not fail.
local hashes = { event.bookings, event.persons, event.holds, event.entries, event.tickets, seats,
  promos }
local sets = { event.deadlines, event.ended, event.waitlist }
for _, key in ipairs(hashes) do redis.call('HEXISTS', key, '') end
for _, key in ipairs(sets) do redis.call('ZCARD', key) end
local sections = count_seats(seats, tiers, section_count)
if not sections then return redis.error_reply('BADARG seats') end
if pools and not are_pools(pools, tiers) then return redis.error_reply('BADARG pools') end
-- Without its rule each tier of a pool would be sold by itself, and their room oversold.
if pools and records_version() < 2 then return { 'NOT_UPGRADED' } end
local rows = {}
for n, tier in ipairs(tiers) do
  rows[n] = '[' .. n .. ',' .. tier.capacity .. ',' .. tier.price_minor .. ','
    .. tier.order_max .. (tier.rules_text or '') .. ']'
end
local seq = note(shard, event, 'published',
  '"fingerprint":"' .. fingerprint .. '","opens_at_ms":' .. ARGV[4]
  .. ',"closes_at_ms":' .. ARGV[5] .. ',"person_max":' .. ARGV[6]
  .. ',"tiers":[' .. table.concat(rows, ',') .. ']' .. sections .. promo_rows .. rule_text)
local fields = { 'fingerprint', fingerprint, 'epoch', epoch, 'seq', seq, 'at_ms', shard.at_ms,
  'opens_at_ms', ARGV[4], 'closes_at_ms', ARGV[5], 'person_max', ARGV[6], 'tier_count', ARGV[7] }
for n, tier in ipairs(tiers) do
  for _, pair in ipairs({
    { 'capacity', tier.capacity }, { 'available', tier.capacity }, { 'held', '0' },
    { 'sold', '0' }, { 'blocked', '0' }, { 'price_minor', tier.price_minor },
    { 'order_max', tier.order_max }, { 'sections', tier.sections },
  }) do
    if pair[2] then fields[#fields + 1], fields[#fields + 2] = n .. '.' .. pair[1], pair[2] end
  end
  for name, figure in pairs(tier.rules or {}) do
    fields[#fields + 1], fields[#fields + 2] = n .. '.' .. name, figure
  end
end
if hidden ~= '' then fields[#fields + 1], fields[#fields + 2] = 'hidden', hidden end

-- Apply.
apply(shard, {})
redis.call('SADD', listed, event_id)
redis.call('HSET', stock, unpack(fields))
write_rows('HSET', stock, rule_words)
write_rows('HSET', promos, promo_words)
if section_count > 0 then redis.call('HSET', seats, 'version', 0, 'count', section_count) end
-- What marks each key as whole (`look`): as no hold that would ever end, and before all who wait.
-- Readers of version 1 do not know it.
if records_version() > 1 then
  redis.call('HSET', stock, '!', '1')
  for _, key in ipairs(hashes) do redis.call('HSET', key, '!', '1') end
  redis.call('ZADD', event.deadlines, '+inf', '!')
  redis.call('ZADD', event.ended, '+inf', '!')
  redis.call('ZADD', event.waitlist, '0', '!')
end

-- Reply.
return done(shard, 'PUBLISHED', seq)
