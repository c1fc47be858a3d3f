-- Note the record of an order that was plainly taken, the `n`th, and return its reply. Only where
-- not all of a batch are; a batch that is plain as a whole is noted as a whole.
local function note_plain(shard, orders, n, seq)
  local asked, digit = orders.kinds[orders.kind_of[n]], seq % 10
  local detail = orders.details and ARGV[orders.details + n]
  if detail == '{}' then detail = nil end
  if digit == 0 or not orders.tens then
    orders.tens = string.sub(string.format('%.0f', seq), 1, -2)
  end
  local template = write_template(shard, asked, detail)
  local count = shard.count + 1
  shard.records[count] = template.lead .. ARGV[orders.ids + n] .. '\t' .. ARGV[orders.user_ids + n]
    .. '\t' .. ARGV[orders.fingerprints + n] .. (detail and '\t' .. detail or '')
  shard.count, shard.unfolded = count, shard.unfolded + template.unfolded
  return 'BOOKED ' .. shard.epoch .. ' ' .. orders.tens .. shard.digits[digit] .. ' '
    .. shard.at_text .. ' ' .. asked.items
end
