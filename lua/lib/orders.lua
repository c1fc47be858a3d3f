-- The orders of a batch: bound, read, priced, and noted where they were plain.

-- The figures 1 to 10 by their words, and back: a look-up costs a tenth of what a conversion does.
local function figures()
  return { ['1'] = 1, ['2'] = 2, ['3'] = 3, ['4'] = 4, ['5'] = 5, ['6'] = 6, ['7'] = 7, ['8'] = 8,
    ['9'] = 9, ['10'] = 10, '1', '2', '3', '4', '5', '6', '7', '8', '9', '10' }
end

-- Bind what an order asks for, one word: event_no, ttl_ms, ~ with a promo code or nothing, lines.
-- Returns nil if it is not what it must be, which is a bug in the caller. A tier on two lines would
-- be checked line by line and oversold, so it is refused here. Words that are only written on stay
-- text.
local function bind_asked(events, figure, word)
  local event_no, ttl_ms, code, all = string.match(word, '^(%d+) (%d+) ~(%S*) (%S+)$')
  local event = events[tonumber(event_no)]
  if not event then return nil end
  local lines, places, seen = {}, 0, {}
  for line in string.gmatch(all, '[^;]+') do
    local tier_no, text, wish = string.match(line, '^([^:]+):(%d+):?([a-z0-9,+-]*)$')
    local quantity = figure[text or '']
    if not quantity or seen[tier_no] or #lines == 10 then return nil end
    seen[tier_no], event.tier_nos[tier_no] = true, true
    lines[#lines + 1] = { tier_no = tier_no, quantity = quantity, word = text,
      wish = wish ~= '' and wish or nil }
    places = places + quantity
  end
  return lines[1] and { event = event, ttl_ms = tonumber(ttl_ms), code = code ~= '' and code or nil,
    lines = lines, places = places, templates = {} }
end

-- Number the orders of a batch of several events, each within its event, and gather their ids and
-- persons. Of one event alone, as in a rush, an order's place in the batch is its number.
local function number_orders(orders)
  local numbers, kinds, kind_of = {}, orders.kinds, orders.kind_of
  for n = 1, orders.count do
    local event = kinds[kind_of[n]].event
    local number = event.count + 1
    event.ids, event.user_ids = event.ids or {}, event.user_ids or {}
    event.count, numbers[n] = number, number
    event.ids[number] = ARGV[orders.ids + n]
    event.user_ids[number] = ARGV[orders.user_ids + n]
  end
  orders.numbers = numbers
end

-- Bind the orders of a batch, from ARGV `a` on: their shape, which of what is asked for each asks,
-- what is asked for, then columns: ids, persons, fingerprints, perhaps details, and the journal's
-- lines of all. Returns nil if the words do not add up, or make more than 128 orders, which is a
-- bug in the caller. Columns are read where they are: a rush is bound without a look at each order.
local function bind_orders(events, figure, a)
  local count, kind_count, columns, attempts_max, window_ms =
    string.match(ARGV[a] or '', '^(%d+) (%d+) ([34]) (%d+) (%d+)$')
  count, kind_count = tonumber(count), tonumber(kind_count)
  if not count or count < 1 or count > 128 or kind_count < 1 or kind_count > 128 or #events > 128
    or #ARGV ~= a + 2 + kind_count + columns * count or #ARGV[a + 1] ~= count then
    return nil
  end
  local before = a + 1 + kind_count
  local orders = { count = count, kind_count = kind_count, kinds = {}, ids = before,
    before_kinds = string.byte('0') - 1, -- Kinds are kept by the byte that stands for them.
    user_ids = before + count, fingerprints = before + 2 * count,
    details = columns == '4' and before + 3 * count, lines = ARGV[#ARGV],
    limit = attempts_max ~= '0' and bind_limit(tonumber(attempts_max), tonumber(window_ms)),
    kind_of = { string.byte(ARGV[a + 1], 1, count) } }
  for i = 1, #events do
    local event = events[i]
    event.tier_nos, event.count = {}, 0
  end
  for i = 1, kind_count do
    local asked = bind_asked(events, figure, ARGV[a + 1 + i])
    if not asked then return nil end
    orders.kinds[orders.before_kinds + i] = asked
  end
  if kind_count == 1 and string.find(ARGV[a + 1], '[^0]') then return nil end
  for n = 1, kind_count > 1 and count or 0 do
    if not orders.kinds[orders.kind_of[n]] then return nil end
  end
  if orders.limit == nil then return nil end
  if events[2] then number_orders(orders) else events[1].count = count end
  return orders
end

-- Read all that the checks of a batch of orders need: for each event one call per key. `rows` names
-- the key in which an order of this kind finds itself again. Of tiers with a limit per person, what
-- each has of them is read in one call more. The mark that tells of a lost key (`look`) comes with
-- what is read anyway, before the rows.
local function read_orders(events, orders, rows)
  local is_limited, persons = false, {}
  for i = 1, #events do
    local event = events[i]
    local key = event[rows]
    if event.ids then
      event.rows = redis.call('HMGET', key, '!', unpack(event.ids))
    elseif event.count > 0 then
      event.rows = redis.call('HMGET', key, '!',
        unpack(ARGV, orders.ids + 1, orders.ids + event.count))
    end
    read_stock(event, event.tier_nos)
    for _, tier in pairs(event.tiers) do
      is_limited = is_limited or (tier and tier.person_max > 0)
    end
  end
  for n = 1, is_limited and orders.count or 0 do
    local asked = orders.kinds[orders.kind_of[n]]
    local event, lines = asked.event, asked.lines
    for line = 1, #lines do
      local tier_no = lines[line].tier_no
      local tier = event.tiers[tier_no]
      if tier and tier.person_max > 0 then
        persons[event] = persons[event] or {}
        persons[event][#persons[event] + 1] = ARGV[orders.user_ids + n] .. '/' .. tier_no
      end
    end
  end
  for i = 1, #events do
    local event = events[i]
    if event.user_ids then
      event.persons_read = redis.call('HMGET', event.persons, '!', unpack(event.user_ids))
    elseif event.count > 0 then
      event.persons_read = redis.call('HMGET', event.persons, '!',
        unpack(ARGV, orders.user_ids + 1, orders.user_ids + event.count))
    end
    if event.count > 0 then
      event.is_damaged = event.is_damaged or event.rows[1] ~= event.mark
        or event.persons_read[1] ~= event.mark
    end
    if persons[event] then read_rows(event.persons, persons[event], event.taken) end
  end
end

-- Read the buckets of attempts of a batch's persons.
local function read_order_attempts(orders, at_ms, even, odd)
  return read_attempts(orders.limit, at_ms, even, odd,
    unpack(ARGV, orders.user_ids + 1, orders.user_ids + orders.count))
end

-- Bind one order of a batch, the `n`th.
local function bind_order(orders, n)
  local asked = orders.kinds[orders.kind_of[n]]
  return { event = asked.event, number = orders.numbers and orders.numbers[n] or n,
    id = ARGV[orders.ids + n], user_id = ARGV[orders.user_ids + n],
    fingerprint = ARGV[orders.fingerprints + n], ttl_ms = asked.ttl_ms, lines = asked.lines,
    detail = orders.details and ARGV[orders.details + n] or '{}', places = asked.places,
    code = asked.code }
end

-- Find what was read for an order: note what its person has, unless the batch has changed it, and
-- return the row of the order itself, as the batch has left it.
local function find_rows(order, row_of)
  local event, user_id, number = order.event, order.user_id, order.number
  if event.taken[user_id] == nil then event.taken[user_id] = event.persons_read[number + 1] end
  return row_of[order.id] or event.rows[number + 1]
end

-- Find of each kind of order of a batch the tier if it can be taken without a look at rules: one
-- line of a tier that has none, no seats and no list, in an open sale, without a promo code. Notes
-- the items as they are kept.
local function find_plain(orders)
  for i = 1, orders.kind_count do
    local asked = orders.kinds[orders.before_kinds + i]
    local line, event = asked.lines[1], asked.event
    local tier = event.tiers[line.tier_no]
    if event.is_open and tier and tier.is_plain and not asked.lines[2] and not line.wish
      and not asked.code and line.quantity <= tier.order_max then
      asked.plain_tier = tier
      asked.items = line.tier_no .. ':' .. line.word .. ':' .. tier.price_text
      asked.row_tail = ' ' .. asked.items
    end
  end
end

-- The price of one place in minor units, less what the order's promo code takes off; the discount
-- is rounded down, and no price is below 0.
local function discounted(order, tier_no)
  local price, promo = order.event.tiers[tier_no].price_minor, order.promo
  if not promo or not promo_fits(promo, tier_no) then return price end
  return math.max(0, price - math.floor(price * promo.percent / 100) - promo.amount_minor)
end

-- Put prices on an order's lines: items as they are kept, and as the JSON rows of a record. One
-- general line, which most orders are, needs no table.
local function price(order)
  local lines, tiers = order.lines, order.event.tiers
  if #lines == 1 and not lines[1].seats and not order.promo then
    local line = lines[1]
    local tier_no, word, each = line.tier_no, line.word, tiers[line.tier_no].price_text
    return tier_no .. ':' .. word .. ':' .. each,
      '[[' .. tier_no .. ',' .. word .. ',' .. each .. ']]'
  end
  local texts, rows = {}, {}
  for n = 1, #lines do
    local line, each = lines[n], nil
    local tier_no, seats = line.tier_no, line.seats
    if order.promo then each = string.format('%.0f', discounted(order, tier_no))
    else each = tiers[tier_no].price_text end
    if seats then
      texts[n] = tier_no .. ':' .. line.word .. ':' .. each .. ':' .. seats
      rows[n] = '[' .. tier_no .. ',' .. line.word .. ',' .. each
        .. ',["' .. string.gsub(seats, '%+', '","') .. '"]]'
    else
      texts[n] = tier_no .. ':' .. line.word .. ':' .. each
      rows[n] = '[' .. tier_no .. ',' .. line.word .. ',' .. each .. ']'
    end
  end
  return table.concat(texts, ','), '[' .. table.concat(rows, ',') .. ']'
end

-- Note the record of an order that was plainly taken, the `n`th, and return its reply. Only where
-- not all of a batch are; a batch that is plain as a whole is noted as a whole.
local function note_plain(shard, orders, n, seq)
  local asked, digit = orders.kinds[orders.kind_of[n]], seq % 10
  local detail = orders.details and ARGV[orders.details + n]
  if detail == '{}' then detail = nil end
  if digit == 0 or not orders.tens then
    orders.tens = string.sub(string.format('%.0f', seq), 1, -2)
  end
  local template = write_template(shard, asked, detail)
  local count = shard.count + 1
  shard.records[count] = template.lead .. ARGV[orders.ids + n] .. '\t' .. ARGV[orders.user_ids + n]
    .. '\t' .. ARGV[orders.fingerprints + n] .. (detail and '\t' .. detail or '')
  shard.count, shard.unfolded = count, shard.unfolded + template.unfolded
  return 'BOOKED ' .. shard.epoch .. ' ' .. orders.tens .. shard.digits[digit] .. ' '
    .. shard.at_text .. ' ' .. asked.items
end

-- Note the records of a batch whose every order was plainly taken: the lines as the caller has put
-- them together, below their templates. Returns one reply for all: the last one's, with the items
-- of all kinds.
local function note_whole(shard, orders)
  local items = {}
  for n = 1, orders.details and orders.count or 0 do
    write_template(shard, orders.kinds[orders.kind_of[n]], ARGV[orders.details + n] ~= '{}')
  end
  for i = 1, orders.kind_count do
    if not orders.details then write_template(shard, orders.kinds[orders.before_kinds + i]) end
    items[i] = orders.kinds[orders.before_kinds + i].items
  end
  local unfolded = 0
  for n = 1, orders.count do
    local has_detail = orders.details and ARGV[orders.details + n] ~= '{}'
    unfolded = unfolded + orders.kinds[orders.kind_of[n]].templates[
      has_detail and 'detail' or 'plain'].unfolded
  end
  shard.count, shard.unfolded = shard.count + 1, shard.unfolded + unfolded
  shard.records[shard.count] = orders.lines
  return 'ALL BOOKED ' .. shard.epoch .. ' ' .. string.format('%.0f', shard.seq) .. ' '
    .. shard.at_text .. ' ' .. table.concat(items, ' ')
end
