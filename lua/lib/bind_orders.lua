-- Bind the orders of a batch, from ARGV `a` on: for each its event, where it begins, and its number
-- among the orders of its event, whose ids and persons are gathered to be read. Returns nil if the
-- words do not add up, or make more than 128 orders, which is a bug in the caller. What stands on
-- the lines `bind_order` reads.
local function bind_orders(events, figure, a)
  local argv, of, starts, numbers, n = ARGV, {}, {}, {}, 0
  local last, numbered = #argv, {}
  for i = 1, #events do
    local event = events[i]
    event.ids, event.user_ids, event.tier_nos, event.count = {}, {}, {}, 0
    numbered[figure[i] or string.format('%d', i)] = event
  end
  while a <= last do
    local event, count = numbered[argv[a]], figure[argv[a + 6]]
    if not event or not count or last < a + 6 + 2 * count then return nil end
    local number = event.count + 1
    event.count, event.ids[number], event.user_ids[number] = number, argv[a + 1], argv[a + 2]
    for line = a + 7, a + 5 + 2 * count, 2 do event.tier_nos[argv[line]] = true end
    n = n + 1
    if n > 128 then return nil end
    of[n], starts[n], numbers[n] = event, a, number
    a = a + 7 + 2 * count
  end
  return #events <= 128 and { of = of, starts = starts, numbers = numbers, count = n } or nil
end
