-- Capacities of tiers that are on sale.

-- Read the capacities and counters of the tiers that `wants` are about; a tier that the event does
-- not have has no capacity.
local function read_capacities(event, wants)
  local tier_nos, fields = {}, {}
  event.capacity = event.capacity or {}
  for n, want in ipairs(wants) do
    tier_nos[want.tier_no], fields[n] = true, want.tier_no .. '.capacity'
  end
  if #fields == 0 then return end
  read_stock(event, tier_nos)
  local found = redis.call('HMGET', event.stock, unpack(fields))
  for n, want in ipairs(wants) do event.capacity[want.tier_no] = tonumber(found[n]) end
end

-- Say why a tier cannot have another capacity, whatever is taken of it, as the reply that refuses
-- it; nil if it can. The capacity of a seated tier is the number of its seats; block some to sell
-- fewer.
local function refuse_tier(event, want, n)
  if not event.capacity[want.tier_no] then return { 'UNKNOWN_TIER', n } end
  if event.tiers[want.tier_no].sections then return { 'TIER_HAS_SEATS', n } end
end

-- Say why a capacity is too small, as the reply that refuses it; nil if it is not. Overdue holds
-- are ended before that, up to 50.
local function refuse_smaller(shard, event, want, n)
  local tier = event.tiers[want.tier_no]
  local taken = event.capacity[want.tier_no] - tier.available
  if want.capacity < taken and tier.held > 0 and not event.is_reclaimed then
    event.is_reclaimed = true
    reclaim(shard, event, 50)
    taken = event.capacity[want.tier_no] - tier.available
  end
  if want.capacity < taken then return { 'CAPACITY_BELOW_TAKEN', n, taken } end
end

-- Give a tier another capacity; what is added is available, what is taken away was. Only tables
-- change here.
local function resize(event, want)
  local tier, before = event.tiers[want.tier_no], event.capacity[want.tier_no]
  tier.available = tier.available + want.capacity - before
  tier.is_changed, tier.is_smaller = true, want.capacity < before
  event.capacity[want.tier_no] = want.capacity
end
