-- Capacities of tiers and pools that are on sale. What is to have another one has a `name`: of a
-- tier its number, of a pool `p` and its number, from 1.

-- Bind capacities, `name:capacity,...`, distinct; nil if the word is not that, in bounds.
local function bind_capacities(text)
  local wants, seen, chars, counts = {}, {}, -1, { tiers = 0, pools = 0 }
  for name, figure in string.gmatch(text, '(p?[1-9]%d*):(%d+)') do
    local capacity, pool_no = tonumber(figure), tonumber(string.match(name, '^p(%d+)'))
    local kind = pool_no and 'pools' or 'tiers'
    counts[kind] = counts[kind] + 1
    if seen[name] or counts[kind] > 100 or capacity > 10000000 then return nil end
    seen[name] = true
    wants[#wants + 1] = { name = name, pool_no = pool_no, capacity = capacity }
    chars = chars + #name + #figure + 2
  end
  if chars ~= #text then return nil end
  return wants
end

-- Read the capacities and counters of what `wants` are about; a tier or a pool that the event does
-- not have has no capacity. With a pool all of its tiers are read.
local function read_capacities(event, wants)
  local tier_nos, fields = {}, {}
  event.capacity = event.capacity or {}
  if #wants == 0 then return end
  for _, want in ipairs(wants) do
    if not want.pool_no then
      tier_nos[want.name] = true
      fields[#fields + 1] = want.name .. '.capacity'
    end
  end
  read_stock(event, tier_nos)
  if event.pools then
    for pool_no, pool in ipairs(event.pools) do
      tier_nos[pool.tier_nos[1]] = true
      event.capacity['p' .. pool_no] = pool.capacity
    end
    read_stock(event, tier_nos)
  end
  local found = #fields > 0 and redis.call('HMGET', event.stock, unpack(fields)) or {}
  for n, field in ipairs(fields) do
    event.capacity[string.match(field, '^%d+')] = tonumber(found[n])
  end
end

-- Say why a tier or a pool cannot have another capacity, whatever is taken of it, as the reply that
-- refuses it; nil if it can. The capacity of a seated tier is the number of its seats; block some
-- to sell fewer.
local function refuse_want(event, want, n)
  if not event.capacity[want.name] then return { 'UNKNOWN_TIER', n } end
  if not want.pool_no and event.tiers[want.name].sections then return { 'TIER_HAS_SEATS', n } end
end

-- Tell how many places are taken of what is to be larger or smaller, and how many of these are
-- held.
local function taken_now(event, want)
  if want.pool_no then return taken_of(event, event.pools[want.pool_no]) end
  local tier = event.tiers[want.name]
  return event.capacity[want.name] - tier.available, tier.held
end

-- Say why a capacity is too small, as the reply that refuses it; nil if it is not. Overdue holds
-- are ended before that, up to 50.
local function refuse_smaller(shard, event, want, n)
  local taken, held = taken_now(event, want)
  if want.capacity < taken and held > 0 and not event.is_reclaimed then
    event.is_reclaimed = true
    reclaim(shard, event, 50)
    taken = taken_now(event, want)
  end
  if want.capacity < taken then return { 'CAPACITY_BELOW_TAKEN', n, taken } end
end

-- Give a tier or a pool another capacity: what is added to a tier is available, what is taken away
-- was; of the tiers of a smaller pool, parties may be too large from now on. Only tables change
-- here.
local function resize(event, want)
  local before, pool = event.capacity[want.name], event.pools and event.pools[want.pool_no]
  for _, tier_no in ipairs(pool and pool.tier_nos or { want.name }) do
    local tier = event.tiers[tier_no]
    tier.is_smaller = tier.is_smaller or want.capacity < before
  end
  if pool then
    pool.capacity = want.capacity
  else
    local tier = event.tiers[want.name]
    tier.available = tier.available + want.capacity - before
    tier.is_changed = true
  end
  event.capacity[want.name] = want.capacity
end

-- Write the pools of an event as their rule.
local function write_pools(event)
  local words = {}
  for n, pool in ipairs(event.pools) do
    words[n] = 'p' .. string.format('%.0f', pool.capacity) .. pool.word
  end
  return table.concat(words)
end
