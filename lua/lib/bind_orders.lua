-- Bind the orders of a batch: from ARGV `a` on, seven words each and two per line. Returns nil if
-- a word is not what it must be, which is a bug in the caller. A tier on two lines would be
-- checked line by line and oversold, so it is refused here.
local function bind_orders(events, a)
  local orders = {}
  while a <= #ARGV do
    local event, count = events[tonumber(ARGV[a])], tonumber(ARGV[a + 6])
    local ttl_ms = tonumber(ARGV[a + 4])
    if not (event and ttl_ms and count) or count < 1 or count > 10 or #ARGV < a + 6 + 2 * count then
      return nil
    end
    local order = { event = event, id = ARGV[a + 1], user_id = ARGV[a + 2],
      fingerprint = ARGV[a + 3], ttl_ms = ttl_ms, detail = ARGV[a + 5], lines = {}, places = 0 }
    local seen = {}
    for line = 1, count do
      local tier_no, word = ARGV[a + 5 + 2 * line], ARGV[a + 6 + 2 * line]
      local quantity, wish = tonumber(word), nil
      if not quantity then
        quantity, wish = string.match(word, '^(%d+):([a-z0-9,+-]+)$')
        quantity = tonumber(quantity)
      end
      if not quantity or quantity < 1 or quantity > 10 or quantity % 1 ~= 0 then return nil end
      if seen[tier_no] then return nil end
      seen[tier_no] = true
      order.lines[line] = { tier_no = tier_no, quantity = quantity, wish = wish }
      order.places = order.places + quantity
    end
    orders[#orders + 1] = order
    a = a + 7 + 2 * count
  end
  return orders
end
