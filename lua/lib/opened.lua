-- Holds that are open: how many one person, and one address, may have of an event.

-- Bind the bounds of a batch of holds, one word: how many a person and an address may have open of
-- an event, 0 for as many as they like; the longest life of a hold; below what share of a tier's
-- places, in percent, holds are shorter, and how short they may get, in ms; then for each order a
-- word for where it comes from, or -. Returns nil if it is not that, which is a bug in the caller.
local function bind_bounds(text, count)
  local person_max, address_max, life_ms, percent, least_ms, rest =
    string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%d+)(.*)$')
  if not person_max or tonumber(life_ms) < 1 or tonumber(percent) > 100 then return nil end
  local bounds = { person_max = tonumber(person_max), address_max = tonumber(address_max),
    life_ms = tonumber(life_ms), percent = tonumber(percent), least_ms = tonumber(least_ms),
    origins = {}, holds_of = {}, is_changed = {} }
  for origin in string.gmatch(rest, ' (%S+)') do bounds.origins[#bounds.origins + 1] = origin end
  return #bounds.origins == count and bounds or nil
end

-- Name what the bounds of a hold are counted by: its person and its address, each of its event.
local function openers(bounds, event, user_id, origin)
  local names = {}
  if bounds.person_max > 0 then
    names[1] =
      { scope = 'person', name = event.event_id .. '/' .. user_id, most = bounds.person_max }
  end
  if bounds.address_max > 0 and origin ~= '-' then
    names[#names + 1] =
      { scope = 'address', name = event.event_id .. '@' .. origin, most = bounds.address_max }
  end
  return names
end

-- Read which holds the persons and addresses of a batch have opened, and what has become of these.
-- Their ids are kept in two hashes by turns (`take_turn`), and for as long as a hold may live;
-- whether one is open, its own row says. So nothing is counted that could be counted wrongly.
local function read_opened(orders, bounds, at_ms, even, odd)
  local names, event_of = {}, {}
  for n = 1, orders.count do
    local event = orders.kinds[orders.kind_of[n]].event
    for _, opener in ipairs(openers(bounds, event, ARGV[orders.user_ids + n], bounds.origins[n])) do
      if not event_of[opener.name] then
        names[#names + 1], event_of[opener.name] = opener.name, event
      end
    end
  end
  if #names == 0 then return end
  local before = take_turn(bounds, bounds.life_ms, at_ms, even, odd)
  local ids_of, seen = {}, {}
  local olds, news = redis.call('HMGET', before, unpack(names)),
    redis.call('HMGET', bounds.key, unpack(names))
  for n, name in ipairs(names) do
    local event, found = event_of[name], {}
    ids_of[event] = ids_of[event] or {}
    for hold_id in string.gmatch((olds[n] or '') .. ' ' .. (news[n] or ''), '%S+') do
      found[#found + 1] = hold_id
      if not seen[hold_id] and event.hold_of[hold_id] == nil then
        ids_of[event][#ids_of[event] + 1] = hold_id
      end
      seen[hold_id] = true
    end
    bounds.holds_of[name] = found
  end
  for event, ids in pairs(ids_of) do read_rows(event.holds, ids, event.hold_of) end
end

-- Leave of some holds those that are open, each once; also in how many ms the first runs out.
local function open_holds(shard, event, ids)
  local open, seen, first_ms = {}, {}, math.huge
  for _, hold_id in ipairs(ids) do
    local row = event.hold_of[hold_id]
    local hold = row and not seen[hold_id] and parse_hold(hold_id, row)
    if hold and hold.status == 'held' and hold.expires_at_ms > shard.at_ms then
      open[#open + 1], seen[hold_id] = hold_id, true
      first_ms = math.min(first_ms, left_of(shard, hold))
    end
  end
  return open, first_ms
end

-- Say that the person of the `n`th order, or its address, has as many holds open as may be.
local function refuse_opener(shard, bounds, order, n)
  order.openers = openers(bounds, order.event, order.user_id, bounds.origins[n])
  for _, opener in ipairs(order.openers) do
    local open, first_ms = open_holds(shard, order.event, bounds.holds_of[opener.name])
    bounds.holds_of[opener.name] = open
    if #open >= opener.most then
      return { 'TOO_MANY_HOLDS', opener.scope, opener.most, first_ms }
    end
  end
end

-- Note that an order has opened its hold.
local function note_opened(bounds, order)
  for _, opener in ipairs(order.openers) do
    local ids = bounds.holds_of[opener.name]
    ids[#ids + 1] = order.id
    bounds.is_changed[opener.name] = true
  end
end

-- Keep who has opened which holds.
local function keep_opened(bounds)
  local words = {}
  for name in pairs(bounds.is_changed) do
    words[#words + 1], words[#words + 2] = name, table.concat(bounds.holds_of[name], ' ')
  end
  keep_turn(bounds, words)
end

-- Shorten a time for which places are set aside where little is left of their tiers: by the share
-- that is left, of `percent`, but not below `least_ms`.
local function shorten(event, lines, ms, percent, least_ms)
  local left = 1
  for n = 1, percent > 0 and #lines or 0 do
    local tier = event.tiers[lines[n].tier_no]
    local all, now = most_of(tier), left_in(event, tier, 0)
    if all > 0 then left = math.min(left, now * 100 / (all * percent)) end
  end
  return math.max(math.min(ms, least_ms), math.floor(ms * left))
end

-- Bring a deadline to the event's end, after which nothing is sold.
local function before_end(event, lines, at_ms)
  if event.ends_at_ms then return math.min(at_ms, event.ends_at_ms) end
  for n = 1, #lines do
    at_ms = math.min(at_ms, event.tiers[lines[n].tier_no].ends_at_ms or at_ms)
  end
  return at_ms
end
