-- Give back some places of a confirmed booking, not the last. Its row keeps what it was made with
-- and each cut, so that its past is known (see `layout`). Returns the seq of the record.
local function cut_booking(shard, event, booking_id, cut)
  local version, head, user_id, fingerprint, items = string.match(event.booking_of[booking_id],
    '^%S+ (%S+) (%S+ %S+ %S+) (%S+) (%S+) (%S+)$')
  local _, first, cuts = layout(items)
  local gone, left, cut_texts, places = {}, {}, {}, 0
  for _, line in ipairs(cut) do
    gone[line.tier_no], places = line.quantity, places + line.quantity
  end
  for tier_no, quantity, price in string.gmatch(items, '(%d+):(%d+):(%d+)') do
    local less = gone[tier_no] or 0
    if less > 0 then cut_texts[#cut_texts + 1] = tier_no .. ':' .. less .. ':' .. price end
    if less < tonumber(quantity) then
      left[#left + 1] = tier_no .. ':' .. (quantity - less) .. ':' .. price
    end
  end
  local cut_text, left_text = table.concat(cut_texts, ','), table.concat(left, ',')
  local _, _, cut_rows = lines_of(cut_text)
  local _, _, left_rows = lines_of(left_text)
  local seq = string.format('%.0f', shard.seq + 1)
  cuts = first .. (cuts == '' and '' or '/' .. cuts) .. '/' .. shard.epoch
    .. '-' .. seq .. '-' .. shard.at_ms .. '-' .. string.gsub(cut_text, ':', 'x')
  move(event, cut, 'sold', 'available', user_id, -places)
  note(shard, event, 'item_cancelled', '"booking_id":"' .. booking_id .. '","user_id":"' .. user_id
    .. '","booking_version":' .. (version + 1) .. ',"items":' .. cut_rows .. ',"left":'
    .. left_rows .. ',"cuts":"' .. cuts .. '"')
  local row = table.concat({ 'confirmed', version + 1, head, user_id, fingerprint,
    left_text .. '/' .. cuts }, ' ')
  keep_booking(event, booking_id, row)
  return seq
end
