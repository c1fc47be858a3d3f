#!lua
--[[
amend: change what an organizer may still change of an event that is on sale, all in one step.

Guarantees   Of orders from then on: who has booked or holds places keeps what was promised. I1: all
             that a capacity gains is available, none goes below what is taken, nor does a pool's.
             Nothing is sold beyond the event's new end. What people count on stays: whether a tier
             is hidden, what a code takes off.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  By state: what is so already gives the place of the last change.
Cost         O(tiers + promos); 9 reads and 5 writes. Where too much is held, up to 50 overdue holds
             are ended first.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says

ARGV
  1 epoch      string  epoch[:seq] the caller believes in
  2 event_id   string  which event
  3 sale       string  name=value,... of opens_at_ms, closes_at_ms, ends_at_ms, person_max and
                       offer_ttl_ms; `-` for none
  4 tiers      string  of up to 100 tiers, joined by commas, tier_no:capacity:price_minor:order_max:
                       order_min:person_max:opens_at_ms:closes_at_ms:is_hidden:after_end, with `-`
                       for each figure that stays; a new tier has `+` before its number and all
                       figures. The last two, and whether there is a person_max, stay. `-` for none
  5 promos     string  CODE:uses_max:percent:amount:tier_no+tier_no,... up to 100, new ones and
                       those to be used so often from now on, 0 for no more; `-` for none
  6 names      string  of new tiers, for the record alone: JSON as `engine.records.Amended` has it
  7 pools      string  p<number from 1>:capacity,... distinct pools, up to 100; `-` for none

Returns (first that applies)
  EVENT_DAMAGED                                a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                                  the event is not loaded
  EVENT_CANCELLED                              it was cancelled, which is final
  NOT_UPGRADED                                 the reign's records cannot say it
  EVENT_ENDED           ends_at_ms             it is over, or would be, or the sale would go on
  SALE_CLOSED           closes_at_ms           the end asked for has passed
  SALE_DIFFERS                                 it has opened, or does not go with what is asked for
  UNKNOWN_TIER          line                   of the pools, and then of the tiers
  TIER_HAS_SEATS        line                   their number is its capacity
  REPLAYED              epoch, seq, at_ms      all is so already
  CAPACITY_BELOW_TAKEN  line, minimum          that many places are taken or blocked
  BACKPRESSURE                                 transient: PostgreSQL is too far behind
  AMENDED               epoch, seq, at_ms, record    record: its JSON as journalled

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `amended`: opens_at_ms, closes_at_ms, ends_at_ms, person_max, offer_ttl_ms,
             after_end, tiers, promos, names, pools; and `expired`; where somebody waits, as
             `set_capacity`
]]

-- What there is of a tier, in the order of its words, its row in a record, and its fields.
local FIGURES = { 'capacity', 'price_minor', 'order_max', 'order_min', 'person_max', 'opens_at_ms',
  'closes_at_ms', 'is_hidden', 'after_end' }

-- Tell whether a word is a figure as JSON has it.
local function is_figure(word)
  return #word <= 15 and (word == '0' or string.find(word, '^[1-9]%d*$') ~= nil)
end

-- Bind what is to change of the sale; nil if the word is not `name=value,...` of known names.
local function bind_sale(text)
  local wants, names = {}, { opens_at_ms = true, closes_at_ms = true, ends_at_ms = true,
    person_max = true, offer_ttl_ms = true }
  for pair in string.gmatch(text ~= '-' and text or '', '[^,]+') do
    local name, value = string.match(pair, '^([a-z_]+)=(%d+)$')
    if not name or not names[name] or not is_figure(value) then return nil end
    names[name] = nil
    wants[name] = value
  end
  return wants
end

-- Bind the tiers that are to change, or to be added; nil if a word is not what it must be.
local function bind_tiers(text)
  local wants, seen = {}, {}
  for word in string.gmatch(text ~= '-' and text or '', '[^,]+') do
    local mark, tier_no, rest = string.match(word, '^(%+?)([1-9]%d*)(:[%d:-]+)$')
    if not tier_no or seen[tier_no] or #wants == 100 then return nil end
    local want, n = { tier_no = tier_no, is_new = mark == '+' }, 0
    for figure in string.gmatch(rest, ':([^:]+)') do
      n = n + 1
      if n > #FIGURES or (figure == '-' and want.is_new)
        or not (figure == '-' or is_figure(figure)) then
        return nil
      end
      want[FIGURES[n]] = figure ~= '-' and figure or nil
    end
    if n ~= #FIGURES or (not want.is_new and (want.is_hidden or want.after_end)) then return nil end
    seen[tier_no] = true
    wants[#wants + 1] = want
  end
  return wants
end

-- Bind the pools that are to have another capacity; nil if the word is not what it must be.
local function bind_pool_wants(text)
  if text == '-' then return {} end
  local wants = bind_capacities(text)
  for _, want in ipairs(wants or {}) do
    if not want.pool_no then return nil end
  end
  return wants
end

-- Name what has a capacity of all that is asked about: the pools, and then the tiers.
local function list_sized(pools, tiers)
  local sized = { unpack(pools) }
  for _, want in ipairs(tiers) do
    want.name = want.tier_no
    sized[#sized + 1] = want
  end
  return sized
end

-- Read what stands of the tiers that are asked about, and of the sale as a whole.
local function read_amended(event, wants)
  local fields = { 'opens_at_ms', 'closes_at_ms', 'ends_at_ms', 'person_max', 'offer_ttl_ms',
    'after_end', 'hidden' }
  local sale = redis.call('HMGET', event.stock, unpack(fields))
  event.sale = {}
  for n, name in ipairs(fields) do event.sale[name] = sale[n] or nil end
  for _, want in ipairs(wants) do
    local names, now = {}, {}
    for n = 1, 7 do names[n] = want.tier_no .. '.' .. FIGURES[n] end
    local found = redis.call('HMGET', event.stock, unpack(names))
    for n = 1, 7 do now[FIGURES[n]] = found[n] or '0' end
    now.is_hidden = string.find(event.sale.hidden or '', '+' .. want.tier_no .. '+', 1, true)
      and '1' or '0'
    now.after_end = sells_after_end(event.sale.after_end, want.tier_no) and '1' or '0'
    want.now = found[1] and now
  end
end

-- Keep of what is asked for what differs.
local function drop_same(event, wants, tiers)
  for name, value in pairs(wants) do
    if (event.sale[name] or '0') == value then wants[name] = nil end
  end
  for _, want in ipairs(tiers) do
    for _, name in ipairs(FIGURES) do
      local differs = want[name] and not (want.now and want.now[name] == want[name])
      if differs then want.differs = true elseif want.now then want[name] = want.now[name] end
    end
  end
end

-- Say why the sale cannot have these times, as the reply that refuses them; nil if it can.
local function refuse_times(shard, sale, wants, after_end)
  local opens_at_ms = tonumber(wants.opens_at_ms or sale.opens_at_ms)
  local closes_at_ms = tonumber(wants.closes_at_ms or sale.closes_at_ms)
  local ends_at_ms = tonumber(wants.ends_at_ms or sale.ends_at_ms)
  if wants.ends_at_ms then
    local is_over = sale.ends_at_ms and tonumber(sale.ends_at_ms) <= shard.at_ms
    if is_over then return { 'EVENT_ENDED', tonumber(sale.ends_at_ms) } end
    if ends_at_ms <= shard.at_ms then return { 'EVENT_ENDED', ends_at_ms } end
  end
  if (wants.closes_at_ms or wants.ends_at_ms) and not after_end and ends_at_ms
    and closes_at_ms > ends_at_ms then
    return { 'EVENT_ENDED', ends_at_ms }
  end
  if wants.closes_at_ms and closes_at_ms <= shard.at_ms then
    return { 'SALE_CLOSED', closes_at_ms }
  end
  local has_opened = tonumber(sale.opens_at_ms) <= shard.at_ms
  if (wants.opens_at_ms and has_opened)
    or ((wants.opens_at_ms or wants.closes_at_ms) and opens_at_ms >= closes_at_ms)
    or wants.person_max == '0' then
    return { 'SALE_DIFFERS' }
  end
end

-- Say why a tier cannot be so, as the reply that refuses it; nil if it can. `tier_count` are those
-- before it.
local function refuse_figures(event, want, n, tier_count)
  if want.is_new and want.now then return want.differs and { 'SALE_DIFFERS' } or nil end
  if want.is_new and tonumber(want.tier_no) ~= tier_count + 1 then return { 'SALE_DIFFERS' } end
  if not want.is_new then
    if not want.now then return { 'UNKNOWN_TIER', n } end
    local other = want.capacity ~= want.now.capacity and refuse_want(event, want, n)
    if other then return other end
    if (want.person_max == '0') ~= (want.now.person_max == '0') then return { 'SALE_DIFFERS' } end
  end
  local order_max, order_min = tonumber(want.order_max), tonumber(want.order_min)
  local opens_at_ms, closes_at_ms = tonumber(want.opens_at_ms), tonumber(want.closes_at_ms)
  if order_max < 1 or order_max > 10 or order_min > order_max or tonumber(want.tier_no) > 100
    or tonumber(want.capacity) > 10000000
    or (closes_at_ms > 0 and closes_at_ms <= opens_at_ms) then
    return { 'SALE_DIFFERS' }
  end
end

-- Write the rules of a tier into `fields`, all or none, as `publish` does; into `gone` those that
-- it has no more.
local function keep_rules(want, fields, gone)
  local is_plain = want.is_hidden == '0'
  for n = 4, 7 do is_plain = is_plain and want[FIGURES[n]] == '0' end
  for n = 4, 7 do
    local name = want.tier_no .. '.' .. FIGURES[n]
    if is_plain then gone[#gone + 1] = name
    else fields[#fields + 1] = { name, want[FIGURES[n]] } end
  end
end

-- Note the tiers as they are from now on: their rows in the record, and their fields.
local function amend_tiers(event, tiers, fields, gone)
  local rows = {}
  for _, want in ipairs(tiers) do
    local row = { want.tier_no }
    for n = 1, 8 do
      local name, figure = want.tier_no .. '.' .. FIGURES[n], want[FIGURES[n]]
      row[n + 1] = figure
      if n < 4 then fields[#fields + 1] = { name, figure } end
    end
    keep_rules(want, fields, gone)
    if want.differs then rows[#rows + 1] = '[' .. table.concat(row, ',') .. ']' end
    local tier = event.tiers[want.tier_no]
    if tier then
      -- What is offered in this very call costs what it costs from now on, within the new limits.
      tier.price_minor, tier.price_text = tonumber(want.price_minor), want.price_minor
      tier.person_max, tier.closes_at_ms = tonumber(want.person_max), tonumber(want.closes_at_ms)
      if want.capacity ~= want.now.capacity then
        resize(event, { name = want.tier_no, capacity = tonumber(want.capacity) })
      end
    else
      for _, pair in ipairs({ { 'available', want.capacity }, { 'held', '0' }, { 'sold', '0' },
        { 'blocked', '0' } }) do
        fields[#fields + 1] = { want.tier_no .. '.' .. pair[1], pair[2] }
      end
    end
  end
  return rows
end

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local event = events[1]
local wants, tiers = bind_sale(ARGV[3] or ''), bind_tiers(ARGV[4] or '')
local pools = bind_pool_wants(ARGV[7] or '')
local codes, names = ARGV[5], ARGV[6]
if #events ~= 1 or #ARGV ~= 7 or not wants or not tiers or not pools
  or not bind_promos(codes ~= '-' and codes or '', 100)
  or not string.find(names, '^%[.*%]$') then
  return redis.error_reply('BADARG amendment')
end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
look(events)
read_sale(event)
read_amended(event, tiers)
read_capacities(event, list_sized(pools, tiers))
drop_same(event, wants, tiers)

-- Check. Decisions change the tables above and nothing else.
-- Tell how many tiers there are from now on, which of the new ones are hidden and which are sold
-- after the event's end, in the form of the stock; or the reply that refuses a pool or a tier.
local function count_tiers()
  local count, hidden, after_end = event.tier_count, event.sale.hidden, event.sale.after_end
  for n, pool in ipairs(pools) do
    local refusal = refuse_want(event, pool, n)
    if refusal then return nil, refusal end
  end
  for n, want in ipairs(tiers) do
    local refusal = refuse_figures(event, want, #pools + n, count)
    if refusal then return nil, refusal end
    if want.is_new and not want.now then
      count = count + 1
      if want.is_hidden == '1' then hidden = (hidden or '+') .. want.tier_no .. '+' end
      if want.after_end == '1' then after_end = (after_end or 't') .. want.tier_no .. 't' end
    end
  end
  return count, { hidden = hidden, after_end = after_end }
end

-- Find what is new of the promo codes: their rows in the record, and the words of HSET; nil if one
-- of another kind has the code, or a tier of it is none of `tier_count`.
local function find_promos(tier_count)
  local promos, rows, words = bind_promos(codes ~= '-' and codes or '', tier_count), {}, {}
  for _, promo in ipairs(promos or {}) do
    find_promo(event, promo.code)
    local rule = event.promo_of[promo.code]
    if rule and string.match(rule, ':(.*)$') ~= promo.terms then return nil end
    if rule ~= promo.rule then
      rows[#rows + 1] = promo.row
      words[#words + 1], words[#words + 2] = promo.code, promo.rule
      if not rule then words[#words + 1], words[#words + 2] = promo.code .. '.used', '0' end
    end
  end
  return promos and rows, words
end

-- Lead what was read of the sale as a whole on, for what is offered in this very call.
local function lead_sale()
  event.person_max = tonumber(wants.person_max or event.sale.person_max)
  local ends_at_ms = tonumber(wants.ends_at_ms or event.sale.ends_at_ms)
  event.closes_at_ms = tonumber(wants.closes_at_ms or event.sale.closes_at_ms)
  if ends_at_ms then end_sale(event, ends_at_ms, event.sale.after_end) end
  for tier_no, tier in pairs(event.tiers) do
    if tier and event.tiers_end_at_ms and not sells_after_end(event.sale.after_end, tier_no) then
      end_tier(tier, event.tiers_end_at_ms)
    end
  end
  -- The sweeper comes at once: some may be offered what was not on sale any more.
  event.wake_at_ms = shard.at_ms
end

-- Say which capacity is too small, as the reply that refuses it; nil if none is.
local function refuse_sizes(shard)
  for n, pool in ipairs(pools) do
    local refusal = refuse_smaller(shard, event, pool, n)
    if refusal then return refusal end
  end
  for n, want in ipairs(tiers) do
    local refusal = want.now and want.capacity ~= want.now.capacity and refuse_smaller(shard, event,
      { name = want.tier_no, capacity = tonumber(want.capacity) }, #pools + n)
    if refusal then return refusal end
  end
end

-- Give the pools the capacities asked for, and write them if any was another.
local function amend_pools()
  local differ = false
  for _, pool in ipairs(pools) do
    differ = differ or pool.capacity ~= event.capacity[pool.name]
    resize(event, pool)
  end
  return differ and write_pools(event)
end

-- Note the amendment, and where it stands.
local gone = {}
local function amend(tier_count, lists, promo_rows)
  local parts, fields = {}, { { 'tier_count', string.format('%.0f', tier_count) } }
  for _, name in ipairs({ 'opens_at_ms', 'closes_at_ms', 'ends_at_ms', 'person_max',
    'offer_ttl_ms' }) do
    if wants[name] then
      parts[#parts + 1] = '"' .. name .. '":' .. wants[name]
      fields[#fields + 1] = { name, wants[name] }
    end
  end
  if wants.offer_ttl_ms == '0' then gone[1] = 'offer_ttl_ms' end
  if lists.after_end ~= event.sale.after_end then
    parts[#parts + 1] = '"after_end":"' .. lists.after_end .. '"'
  end
  for name, list in pairs(lists) do fields[#fields + 1] = { name, list } end
  local rows = amend_tiers(event, tiers, fields, gone)
  if #rows > 0 then parts[#parts + 1] = '"tiers":[' .. table.concat(rows, ',') .. ']' end
  if #promo_rows > 0 then
    parts[#parts + 1] = '"promos":[' .. table.concat(promo_rows, ',') .. ']'
  end
  local shared = amend_pools()
  if shared then
    parts[#parts + 1] = '"pools":"' .. shared .. '"'
    fields[#fields + 1] = { 'pools', shared }
  end
  if tier_count > event.tier_count then parts[#parts + 1] = '"names":' .. names end
  event.sale.after_end = lists.after_end
  lead_sale()
  return change_sale(shard, event, 'AMENDED', 'amended', table.concat(parts, ','), fields)
end

local promo_words = {}
local function decide()
  if event.is_damaged then return { 'EVENT_DAMAGED' } end
  if not event.closes_at_ms then return { 'NOT_ON_SALE' } end
  if event.cancelled_at_ms then return { 'EVENT_CANCELLED' } end
  if records_version() < 2 then return { 'NOT_UPGRADED' } end
  local tier_count, lists = count_tiers()
  local refusal = refuse_times(shard, event.sale, wants, tier_count and lists.after_end
    or event.sale.after_end)
  if refusal then return refusal end
  if not tier_count then return lists end
  local promo_rows, words = find_promos(tier_count)
  if not promo_rows then return { 'SALE_DIFFERS' } end
  local is_same = next(wants) == nil and #promo_rows == 0
  for _, want in ipairs(tiers) do is_same = is_same and not want.differs end
  for _, pool in ipairs(pools) do
    is_same = is_same and pool.capacity == event.capacity[pool.name]
  end
  if is_same then return { 'REPLAYED', unpack(event.changed) } end
  refusal = refuse_sizes(shard)
  if refusal then return refusal end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  promo_words = words
  return amend(tier_count, lists, promo_rows)
end

local reply = decide()
promote(shard, events)

-- Apply.
apply(shard, events, due)
write_rows('HSET', event.stock, event.sale_fields)
write_rows('HSET', event.promos, promo_words)
write_rows('HDEL', event.stock, gone)

-- Reply.
return reply
