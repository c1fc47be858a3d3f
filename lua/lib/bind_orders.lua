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
    orders.kinds[47 + i] = asked
  end
  if kind_count == 1 and string.find(ARGV[a + 1], '[^0]') then return nil end
  for n = 1, kind_count > 1 and count or 0 do
    if not orders.kinds[orders.kind_of[n]] then return nil end
  end
  if orders.limit == nil then return nil end
  if events[2] then number_orders(orders) else events[1].count = count end
  return orders
end
