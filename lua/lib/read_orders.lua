-- Read all that the checks of a batch of orders need: for each event one call per key. `rows` names
-- the key in which an order of this kind finds itself again. Of tiers with a limit per person, what
-- each has of them is read in one call more.
local function read_orders(events, orders, rows)
  local is_limited, persons = false, {}
  for i = 1, #events do
    local event = events[i]
    local key = event[rows]
    if event.ids then
      event.rows = redis.call('HMGET', key, unpack(event.ids))
    elseif event.count > 0 then
      event.rows = redis.call('HMGET', key, unpack(ARGV, orders.ids + 1, orders.ids + event.count))
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
      event.persons_read = redis.call('HMGET', event.persons, unpack(event.user_ids))
    elseif event.count > 0 then
      event.persons_read = redis.call('HMGET', event.persons,
        unpack(ARGV, orders.user_ids + 1, orders.user_ids + event.count))
    end
    if persons[event] then read_rows(event.persons, persons[event], event.taken) end
  end
end
