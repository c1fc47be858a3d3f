-- Bind the orders of a batch, four words each from ARGV `a` on: what each asks for, bound once for
-- all that ask the same, and its number among the orders of its event, whose ids and persons are
-- gathered to be read. Returns nil if the words do not add up, or make more than 128 orders, which
-- is a bug in the caller. What runs for each order of a rush keeps to locals and lists.
local function bind_orders(events, figure, a)
  local argv, known, asked_of, ids, user_ids, n = ARGV, {}, {}, {}, {}, 0
  local last = #argv
  if (last - a + 1) % 4 ~= 0 or last - a >= 4 * 128 or #events > 128 then return nil end
  for i = 1, #events do
    local event = events[i]
    event.ids, event.user_ids, event.tier_nos, event.count = {}, {}, {}, 0
  end
  for at = a, last, 4 do
    local word = argv[at + 3]
    local asked = known[word]
    if not asked then
      asked = bind_asked(events, figure, word)
      if not asked then return nil end
      known[word] = asked
    end
    n = n + 1
    ids[n], user_ids[n], asked_of[n] = argv[at], argv[at + 1], asked
  end
  local orders = { asked_of = asked_of, ids = ids, user_ids = user_ids, numbers = {}, count = n,
    before = a - 4 }
  if events[2] then
    number_orders(orders)
  elseif n > 0 then
    -- Of one event alone, as in a rush, an order's place in the batch is its number.
    events[1].ids, events[1].user_ids, events[1].count = ids, user_ids, n
  end
  return orders
end
