-- End a live hold as `released` or `expired`: its places are available again, its person's count
-- goes down. Its row stays for a while, so that a repeated request finds how it ended.
local function end_hold(shard, event, hold, status)
  local lines, places, rows = lines_of(hold.items)
  move(event, lines, 'held', 'available', hold.user_id, -places)
  use_promo(event, hold.fingerprint, -1)
  local seq = note(shard, event, status, '"hold_id":"' .. hold.hold_id .. '","user_id":"'
    .. hold.user_id .. '","items":' .. rows)
  hold.status, hold.version = status, hold.version + 1
  keep_hold(shard, event, hold, seq)
  end_offer(shard, event, hold, seq)
  event.old_deadlines[#event.old_deadlines + 1] = hold.hold_id
  event.new_deadlines[hold.hold_id] = nil
  event.new_ended[hold.hold_id] = shard.at_ms
  return seq
end
