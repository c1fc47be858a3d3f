-- Read how the event's waitlist is led: its policy, patience and how long an offer lasts. They are
-- kept since somebody joined, so that the scripts that free places need not be told.
local function read_rules(event)
  local kept = redis.call('HMGET', event.stock, 'waitlist.policy', 'waitlist.patience_ms',
    'waitlist.offer_ttl_ms')
  event.rules = { policy = kept[1], patience_ms = tonumber(kept[2]),
    offer_ttl_ms = tonumber(kept[3]) }
end
