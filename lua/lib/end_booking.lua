-- End a confirmed booking, given as its row: places available again, the person's count down. Its
-- row keeps all it was and where it ended. Returns the seq of the record.
local function end_booking(shard, event, booking_id, reason)
  local version, rest = string.match(event.booking_of[booking_id], '^%S+ (%S+) (.+)$')
  local user_id, fingerprint, items = string.match(rest, '^%S+ %S+ %S+ (%S+) (%S+) (%S+)')
  local lines, places, rows = lines_of(items)
  move(event, lines, 'sold', 'available', user_id, -places)
  use_promo(event, fingerprint, -1)
  local seq = note(shard, event, 'cancelled', '"booking_id":"' .. booking_id .. '","user_id":"'
    .. user_id .. '","items":' .. rows .. reason)
  local row = table.concat({ 'cancelled', tonumber(version) + 1, rest, shard.epoch, seq,
    shard.at_ms }, ' ')
  keep_booking(event, booking_id, row)
  return seq
end
