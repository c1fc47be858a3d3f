-- Note the records of a batch whose every order was plainly taken: the lines as the caller has put
-- them together, below their templates. Returns one reply for all: the last one's, with the items
-- of all kinds.
local function note_whole(shard, orders)
  local items = {}
  for n = 1, orders.details and orders.count or 0 do
    write_template(shard, orders.kinds[orders.kind_of[n]], ARGV[orders.details + n] ~= '{}')
  end
  for i = 1, orders.kind_count do
    if not orders.details then write_template(shard, orders.kinds[47 + i]) end
    items[i] = orders.kinds[47 + i].items
  end
  local unfolded = 0
  for n = 1, orders.count do
    local has_detail = orders.details and ARGV[orders.details + n] ~= '{}'
    unfolded = unfolded + orders.kinds[orders.kind_of[n]].templates[
      has_detail and 'detail' or 'plain'].unfolded
  end
  shard.count, shard.unfolded = shard.count + 1, shard.unfolded + unfolded
  shard.records[shard.count] = orders.lines
  return 'ALL BOOKED ' .. shard.epoch .. ' ' .. string.format('%.0f', shard.seq) .. ' '
    .. shard.at_text .. ' ' .. table.concat(items, ' ')
end
