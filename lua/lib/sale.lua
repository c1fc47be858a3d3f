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

-- Tell why a sale cannot go on until a time, as the reply that refuses it; nil if it can.
local function refuse_until(shard, event, closes_at_ms)
  if closes_at_ms <= shard.at_ms then return { 'SALE_CLOSED', closes_at_ms } end
  if event.ends_at_ms and closes_at_ms > event.ends_at_ms then
    return { 'EVENT_ENDED', event.ends_at_ms }
  end
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
  return done(shard, status, seq)
end

-- Tell whether an event was cancelled by its organizer, by one read per event and call.
local function is_cancelled(event)
  if event.cancelled_at_ms == nil then
    event.cancelled_at_ms = redis.call('HGET', event.stock, 'cancelled_at_ms')
  end
  return event.cancelled_at_ms and true
end

-- Move the end of a sale to a later time; replies as `change_sale` does.
local function sell_until(shard, event, status, closes_at_ms)
  event.closes_at_ms = closes_at_ms
  -- What became free while the sale was closed is for those who wait: the sweeper comes at once.
  event.wake_at_ms = shard.at_ms
  local plain = string.format('%.0f', closes_at_ms)
  return change_sale(shard, event, status, 'reopened', '"closes_at_ms":' .. plain,
    { { 'closes_at_ms', plain } })
end
