-- Read all that the checks of a batch of orders need: for each event one call per key. `rows` is
-- the key, and `of` the table, in which an order of this kind finds itself again. Persons come
-- last: of tiers with a limit per person, what each has of them is read in the same call.
local function read_orders(events, orders, rows, of)
  for _, event in ipairs(events) do
    event.ids, event.user_ids, event.tier_nos, event.count = {}, {}, {}, 0
  end
  for n = 1, #orders do
    local order = orders[n]
    local event, lines = order.event, order.lines
    local count = event.count + 1
    event.count, event.ids[count], event.user_ids[count] = count, order.id, order.user_id
    for line = 1, #lines do event.tier_nos[lines[line].tier_no] = true end
  end
  local has_tier_limits = false
  for _, event in ipairs(events) do
    read_rows(event[rows], event.ids, event[of])
    read_stock(event, event.tier_nos)
    for _, tier in pairs(event.tiers) do
      has_tier_limits = has_tier_limits or (tier and tier.person_max > 0)
    end
  end
  for n = 1, has_tier_limits and #orders or 0 do
    local order = orders[n]
    for _, line in ipairs(order.lines) do
      local event, tier = order.event, order.event.tiers[line.tier_no]
      if tier and tier.person_max > 0 then
        event.count = event.count + 1
        event.user_ids[event.count] = order.user_id .. '/' .. line.tier_no
      end
    end
  end
  for _, event in ipairs(events) do read_rows(event.persons, event.user_ids, event.taken) end
end
