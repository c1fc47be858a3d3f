-- Read all that the checks of a batch of orders need: for each event one call per key. `rows` is
-- the key, and `of` the table, in which an order of this kind finds itself again. Persons come
-- last: of tiers with a limit per person, what each has of them is read in the same call.
local function read_orders(events, orders, rows, of)
  for _, event in ipairs(events) do
    event.ids, event.user_ids, event.tier_nos = {}, {}, {}
  end
  for _, order in ipairs(orders) do
    local event = order.event
    event.ids[#event.ids + 1] = order.id
    event.user_ids[#event.user_ids + 1] = order.user_id
    for _, line in ipairs(order.lines) do event.tier_nos[line.tier_no] = true end
  end
  for _, event in ipairs(events) do
    read_rows(event[rows], event.ids, event[of])
    read_stock(event, event.tier_nos)
  end
  for _, order in ipairs(orders) do
    for _, line in ipairs(order.lines) do
      local event, tier = order.event, order.event.tiers[line.tier_no]
      if tier and tier.person_max > 0 then
        event.user_ids[#event.user_ids + 1] = order.user_id .. '/' .. line.tier_no
      end
    end
  end
  for _, event in ipairs(events) do read_rows(event.persons, event.user_ids, event.taken) end
end
