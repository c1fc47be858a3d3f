-- An event's sale as its organizer changes it.

-- Read what an organizer's change of a sale looks at: its end, and the place of its last change. An
-- event that is not loaded has no `closes_at_ms`.
local function read_sale(event)
  local sale = redis.call('HMGET', event.stock, 'closes_at_ms', 'cancelled_at_ms', 'changed_epoch',
    'changed_seq', 'changed_at_ms', 'epoch', 'seq', 'at_ms', 'tier_count', 'ends_at_ms',
    'after_end')
  event.closes_at_ms, event.cancelled_at_ms = tonumber(sale[1]), sale[2]
  event.changed = { sale[3] or sale[6], sale[4] or sale[7], sale[5] or sale[8] }
  event.tier_count = tonumber(sale[9])
  -- Where a tier sells after the event's end, so may the sale as a whole.
  event.ends_at_ms = not sale[11] and tonumber(sale[10]) or nil
  event.sale_fields = {}
end

-- Note a change of an event's sale, and where it stands; `fields` are further fields of the stock
-- to be written. Returns the reply `status epoch seq at_ms`.
local function change_sale(shard, event, status, kind, body, fields)
  local seq = note(shard, event, kind, body)
  event.changed = { shard.epoch, seq, string.format('%.0f', shard.at_ms) }
  for _, pair in ipairs({ { 'changed_epoch', shard.epoch }, { 'changed_seq', seq },
    { 'changed_at_ms', event.changed[3] }, unpack(fields) }) do
    local n = #event.sale_fields
    event.sale_fields[n + 1], event.sale_fields[n + 2] = pair[1], pair[2]
  end
  return { status, shard.epoch, seq, shard.at_ms }
end

-- Tell whether an event was cancelled by its organizer, by one read per event and call.
local function is_cancelled(event)
  if event.cancelled_at_ms == nil then
    event.cancelled_at_ms = redis.call('HGET', event.stock, 'cancelled_at_ms')
  end
  return event.cancelled_at_ms and true
end
