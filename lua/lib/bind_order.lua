-- Bind one order of a batch, the `n`th.
local function bind_order(orders, n)
  local a, asked = orders.before + 4 * n, orders.asked_of[n]
  return { event = asked.event, number = orders.numbers[n] or n, id = ARGV[a],
    user_id = ARGV[a + 1], fingerprint = ARGV[a + 2], ttl_ms = asked.ttl_ms, detail = asked.detail,
    lines = asked.lines, places = asked.places, code = asked.code }
end
