-- Tell whether those behind an entry whose party does not fit may pass it. Under `skip` always;
-- under `strict` once its patience has run out, which is counted from when it first did not fit.
local function may_pass(shard, event, entry, rules)
  if rules.policy == 'skip' then return true end
  if entry.stalled_at_ms == 0 then
    entry.stalled_at_ms = shard.at_ms
    local seq = note(shard, event, 'stalled', '"entry_id":"' .. entry.entry_id .. '","user_id":"'
      .. entry.user_id .. '","tier_no":' .. entry.tier_no .. ',"quantity":' .. entry.quantity
      .. ',"available":' .. string.format('%.0f', event.tiers[entry.tier_no].available))
    keep_entry(shard, event, entry, seq)
  end
  local until_ms = entry.stalled_at_ms + rules.patience_ms
  if until_ms > shard.at_ms then event.wake_at_ms = math.min(event.wake_at_ms, until_ms) end
  return until_ms <= shard.at_ms
end
