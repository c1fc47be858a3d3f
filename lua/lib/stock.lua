-- The counters of an event's tiers and of its persons.

-- Let nothing be sold after the event's end, by closing what would still be open then: the event
-- itself, or, where some tiers sell after the end, each of the others.
local function end_sale(event, ends_at_ms, after_end)
  if after_end then
    event.tiers_end_at_ms = ends_at_ms
  else
    event.ends_at_ms = ends_at_ms
    event.closes_at_ms = math.min(event.closes_at_ms, ends_at_ms)
  end
end

-- Tell whether the tier sells after the event's end: the rule names it, `t2t5t`.
local function sells_after_end(after_end, tier_no)
  return after_end and string.find(after_end, 't' .. tier_no .. 't', 1, true)
end

-- Let a tier close by the event's end, where others are sold after that.
local function end_tier(tier, ends_at_ms)
  tier.ends_at_ms = ends_at_ms
  tier.closes_at_ms = tier.closes_at_ms > 0 and math.min(tier.closes_at_ms, ends_at_ms)
    or ends_at_ms
end

-- Bind the pools of an event, as its rule says them: `p100t1t2t` are 100 places that tiers 1 and 2
-- share, and so on for each pool. A pool has no counters: what is taken of it, its tiers count.
local function bind_pools(event, rule)
  event.pools, event.pool_of = {}, {}
  for capacity, tier_nos in string.gmatch(rule, 'p(%d+)([t%d]+)') do
    local pool = { capacity = tonumber(capacity), tier_nos = {}, word = tier_nos }
    event.pools[#event.pools + 1] = pool
    for tier_no in string.gmatch(tier_nos, '%d+') do
      pool.tier_nos[#pool.tier_nos + 1], event.pool_of[tier_no] = tier_no, pool
    end
  end
end

-- Name the tiers that share places with those that were read, and were not read yet themselves.
local function unread_mates(event)
  local unread = {}
  for tier_no, pool in pairs(event.pool_of) do
    for n = 1, event.tiers[tier_no] and #pool.tier_nos or 0 do
      if event.tiers[pool.tier_nos[n]] == nil then unread[pool.tier_nos[n]] = true end
    end
  end
  return unread
end

-- Read the event's sale and the counters of the tiers named in `tier_nos` (a set), in one call per
-- hundred tiers, and with them those that share places with them. An event that is not loaded has
-- no `person_max`; a tier that it does not have is false. A figure that is no number becomes nil,
-- and stops the script before it writes anything.
local function read_stock(event, tier_nos)
  local names = { 'available', 'held', 'sold', 'price_minor', 'order_max', 'sections', 'waiting',
    'order_min', 'person_max', 'opens_at_ms', 'closes_at_ms' }
  local unread = {}
  for tier_no in pairs(tier_nos) do
    if event.tiers[tier_no] == nil then unread[#unread + 1] = tier_no end
  end
  for first = 1, math.max(1, #unread), 100 do
    local fields = { 'opens_at_ms', 'closes_at_ms', 'person_max', 'hidden', '!', 'ends_at_ms',
      'after_end', 'pools' }
    local last = math.min(#unread, first + 99)
    for n = first, last do
      for _, name in ipairs(names) do fields[#fields + 1] = unread[n] .. '.' .. name end
    end
    local stock = redis.call('HMGET', event.stock, unpack(fields))
    event.opens_at_ms, event.closes_at_ms = tonumber(stock[1]), tonumber(stock[2])
    event.person_max, event.hidden, event.mark = tonumber(stock[3]), stock[4], stock[5]
    if stock[6] then end_sale(event, tonumber(stock[6]), stock[7]) end
    if stock[8] and not event.pool_of then bind_pools(event, stock[8]) end
    for n = first, last do
      local i = #names * (n - first) + 9
      local tier = (stock[i] or stock[i + 2]) and {
        available = tonumber(stock[i]), held = tonumber(stock[i + 1]),
        sold = tonumber(stock[i + 2]), price_minor = tonumber(stock[i + 3]),
        price_text = tonumber(stock[i + 3]) and stock[i + 3],
        order_max = tonumber(stock[i + 4]), sections = stock[i + 5] or nil,
        waiting = tonumber(stock[i + 6] or 0), order_min = tonumber(stock[i + 7] or 0),
        person_max = tonumber(stock[i + 8] or 0),
        opens_at_ms = tonumber(stock[i + 9] or 0), closes_at_ms = tonumber(stock[i + 10] or 0),
      }
      event.tiers[unread[n]] = tier
      if tier and event.tiers_end_at_ms and not sells_after_end(stock[7], unread[n]) then
        end_tier(tier, event.tiers_end_at_ms)
      end
      if tier then
        tier.has_rules = tier.order_min > 0 or tier.opens_at_ms > 0 or tier.closes_at_ms > 0
        tier.pool = event.pool_of and event.pool_of[unread[n]]
        tier.is_plain = not tier.has_rules and not tier.sections and tier.person_max == 0
          and tier.waiting == 0 and not tier.pool and tier.available and tier.held and tier.sold
          and not is_locked(event, unread[n], '')
        if tier.is_plain then tier.total = tier.available + tier.held + tier.sold end
      end
    end
  end
  local mates = event.pool_of and unread_mates(event)
  if mates and next(mates) then read_stock(event, mates) end
end

-- Tell how many places of a pool are taken, and how many of these are held.
local function taken_of(event, pool)
  local taken, held = 0, 0
  for n = 1, #pool.tier_nos do
    local mate = event.tiers[pool.tier_nos[n]]
    taken, held = taken + mate.held + mate.sold, held + mate.held
  end
  return taken, held
end

-- Tell how many places are left of a tier, and how many there would be without holds. A tier of a
-- pool has no more than the pool has left, beside `spoken` places that are spoken for: the one
-- place where it is said what is left. All tiers of the pool were read with it.
local function left_in(event, tier, spoken)
  local pool = tier.pool
  if not pool then return tier.available, tier.available + tier.held end
  local taken, held = taken_of(event, pool)
  local left = pool.capacity - spoken - taken
  return math.max(0, math.min(tier.available, left)),
    math.max(0, math.min(tier.available + tier.held, left + held))
end

-- Tell of the `n`th of some lines how many places are left for it, and how many there would be
-- without holds: the lines before it have theirs of the pool then.
local function left_for(event, lines, n)
  local tier, spoken = event.tiers[lines[n].tier_no], 0
  for m = 1, tier.pool and n - 1 or 0 do
    if event.tiers[lines[m].tier_no].pool == tier.pool then spoken = spoken + lines[m].quantity end
  end
  return left_in(event, tier, spoken)
end

-- Tell how many places of a tier there can be at most, all that is not blocked.
local function most_of(tier)
  local most = tier.available + tier.held + tier.sold
  return tier.pool and math.min(most, tier.pool.capacity) or most
end

-- Tell how many places of a tier a person has, and the field of `persons` that counts them; nil
-- where the tier has no limit per person, and nothing is counted. Read first if not read yet.
local function tier_taken(event, tier_no, user_id)
  if event.tiers[tier_no].person_max == 0 then return nil end
  local name = user_id .. '/' .. tier_no
  if event.taken[name] == nil then read_rows(event.persons, { name }, event.taken) end
  return tonumber(event.taken[name] or 0), name
end

-- Move places of some lines between two counters of their tiers, and a person's count by `places`.
-- Only tables change here. Tiers or the person that were not read yet are read first. Of a tier
-- with a limit per person, what the person has of it is counted as well.
local function move(event, lines, from, to, user_id, places)
  for n = 1, #lines do
    local line = lines[n]
    if event.tiers[line.tier_no] == nil then read_stock(event, { [line.tier_no] = true }) end
    local tier = event.tiers[line.tier_no]
    tier[from], tier[to] = tier[from] - line.quantity, tier[to] + line.quantity
    tier.is_changed = true
    if line.seats then move_seats(event, line, from, to) end
  end
  if places ~= 0 then
    if event.taken[user_id] == nil then read_rows(event.persons, { user_id }, event.taken) end
    local changed, count = event.changed_persons, event.changed_count + 1
    event.taken[user_id] = (event.taken[user_id] or 0) + places
    changed[count] = user_id
    for n = 1, #lines do
      local line = lines[n]
      if event.tiers[line.tier_no].person_max > 0 then
        local taken, name = tier_taken(event, line.tier_no, user_id)
        event.taken[name] = taken + (places > 0 and line.quantity or -line.quantity)
        count = count + 1
        changed[count] = name
      end
    end
    event.changed_count = count
  end
end
