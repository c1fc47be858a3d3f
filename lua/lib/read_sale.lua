-- Read what an organizer's change of a sale looks at: its end, and the place of its last change. An
-- event that is not loaded has no `closes_at_ms`.
local function read_sale(event)
  local sale = redis.call('HMGET', event.stock, 'closes_at_ms', 'cancelled_at_ms', 'changed_epoch',
    'changed_seq', 'changed_at_ms', 'epoch', 'seq', 'at_ms', 'tier_count')
  event.closes_at_ms, event.cancelled_at_ms = tonumber(sale[1]), sale[2]
  event.changed = { sale[3] or sale[6], sale[4] or sale[7], sale[5] or sale[8] }
  event.tier_count = tonumber(sale[9])
  event.sale_fields = {}
end
