-- Lead a waitlist entry to where its offer went: an offer is a hold, used once and then over, and
-- the entry with it. Nothing happens for other holds.
local function end_offer(shard, event, hold, seq)
  if string.sub(hold.hold_id, 1, 6) ~= 'offer_' then return end
  local entry = find_entries(event, { 'wl_' .. string.sub(hold.hold_id, 7) })[1]
  if not entry then return end
  local ends = { released = 'declined', expired = 'expired', confirmed = 'accepted' }
  entry.status, entry.version = ends[hold.status], entry.version + 1
  keep_entry(shard, event, entry, seq)
end
