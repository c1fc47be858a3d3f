-- Read all that the checks of a batch of orders need: for each event one call per key. `rows` names
-- the key in which an order of this kind finds itself again. Persons come last: of tiers with a
-- limit per person, what each has of them is read in the same call.
local function read_orders(events, orders, rows)
  local is_limited = false
  for i = 1, #events do
    local event = events[i]
    local key = event[rows]
    event.rows = event.count > 0 and redis.call('HMGET', key, unpack(event.ids)) or {}
    read_stock(event, event.tier_nos)
    for _, tier in pairs(event.tiers) do
      is_limited = is_limited or (tier and tier.person_max > 0)
    end
  end
  for n = 1, is_limited and orders.count or 0 do
    local asked = orders.asked_of[n]
    local event, lines = asked.event, asked.lines
    for line = 1, #lines do
      local tier_no = lines[line].tier_no
      local tier = event.tiers[tier_no]
      if tier and tier.person_max > 0 then
        event.user_ids[#event.user_ids + 1] = ARGV[orders.before + 4 * n + 1] .. '/' .. tier_no
      end
    end
  end
  for i = 1, #events do
    local event = events[i]
    local ids, count = event.user_ids, event.count
    event.persons_read = count > 0 and redis.call('HMGET', event.persons, unpack(ids)) or {}
    for n = count + 1, #ids do event.taken[ids[n]] = event.persons_read[n] end
  end
end
