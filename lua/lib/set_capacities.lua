-- Set the capacities of tiers; what is added is available, what is taken away was.
local function set_capacities(shard, event, wants)
  local rows, fields = {}, {}
  for n, want in ipairs(wants) do
    local tier = event.tiers[want.tier_no]
    tier.available = tier.available + want.capacity - event.capacity[want.tier_no]
    tier.is_changed = true
    event.capacity[want.tier_no] = want.capacity
    local text = string.format('%.0f', want.capacity)
    fields[n] = { want.tier_no .. '.capacity', text }
    rows[n] = '[' .. want.tier_no .. ',' .. text .. ']'
  end
  return change_sale(shard, event, 'CAPACITY_SET', 'capacity_set',
    '"tiers":[' .. table.concat(rows, ',') .. ']', fields)
end
