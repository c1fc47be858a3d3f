-- Keep a hold in its present state, changed by record `seq`; the counterpart of `parse_hold`.
local function keep_hold(shard, event, hold, seq)
  local row = table.concat({ hold.status, hold.version, hold.epoch, hold.seq, hold.at_ms,
    hold.user_id, hold.fingerprint, hold.items, string.format('%.0f', hold.expires_at_ms),
    shard.epoch, seq, hold.detail }, ' ')
  event.hold_of[hold.hold_id] = row
  event.new_holds[hold.hold_id] = row
end
