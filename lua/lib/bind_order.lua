-- Bind one order of a batch, the `n`th.
local function bind_order(orders, n)
  local asked = orders.kinds[orders.kind_of[n]]
  return { event = asked.event, number = orders.numbers and orders.numbers[n] or n,
    id = ARGV[orders.ids + n], user_id = ARGV[orders.user_ids + n],
    fingerprint = ARGV[orders.fingerprints + n], ttl_ms = asked.ttl_ms, lines = asked.lines,
    detail = orders.details and ARGV[orders.details + n] or '{}', places = asked.places,
    code = asked.code }
end
