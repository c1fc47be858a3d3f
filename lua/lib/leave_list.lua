-- Take a waiting entry off the list: `left` by its owner, or because of their `limit`.
local function leave_list(shard, event, entry, why)
  local seq = note(shard, event, 'left', '"entry_id":"' .. entry.entry_id .. '","user_id":"'
    .. entry.user_id .. '","tier_no":' .. entry.tier_no .. ',"quantity":' .. entry.quantity
    .. ',"why":"' .. why .. '"')
  entry.status, entry.version = 'left', entry.version + 1
  keep_entry(shard, event, entry, seq)
  return seq
end
