-- Tell whether a live hold that is overdue may no longer be confirmed: an offer is final, and
-- where somebody waits, nobody comes late and passes the list (I9).
local function is_too_late(shard, event, hold, lines)
  if hold.expires_at_ms > shard.at_ms then return false end
  if string.sub(hold.hold_id, 1, 6) == 'offer_' then return true end
  for _, line in ipairs(lines) do
    if event.tiers[line.tier_no] == nil then read_stock(event, { [line.tier_no] = true }) end
    if event.tiers[line.tier_no].waiting > 0 then return true end
  end
  return false
end
