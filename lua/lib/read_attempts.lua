-- Read when the buckets of a batch's persons are full again. They are kept in two hashes by turns,
-- one per window; each dies as a whole when its turn comes again. What is older is full by now.
local function read_attempts(orders, at_ms, even, odd)
  local limit = orders.limit
  if not limit then return false end
  local first, last = orders.user_ids + 1, orders.user_ids + orders.count
  local window_no = math.floor(at_ms / limit.window_ms)
  local before
  if window_no % 2 == 0 then limit.key, before = even, odd else limit.key, before = odd, even end
  limit.dies_at_ms = (window_no + 2) * limit.window_ms
  limit.now = redis.call('HMGET', limit.key, unpack(ARGV, first, last))
  limit.before = redis.call('HMGET', before, unpack(ARGV, first, last))
  return limit
end
