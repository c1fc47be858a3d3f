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
