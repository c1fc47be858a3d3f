-- Read all tiers of an event that somebody waits for, so that `promote` sees them: places may be
-- free since a time when nobody could be promoted.
local function read_waiting_tiers(event)
  if redis.call('ZCARD', event.waitlist) == 0 then return end
  local tier_nos = {}
  for tier_no = 1, tonumber(redis.call('HGET', event.stock, 'tier_count') or 0) do
    tier_nos[string.format('%d', tier_no)] = true
  end
  read_stock(event, tier_nos)
end
