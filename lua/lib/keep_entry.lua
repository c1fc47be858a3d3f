-- Keep a waitlist entry in its present state, changed by record `seq`; the counterpart of
-- `parse_entry`. Whoever no longer waits leaves the tier's list and its count.
local function keep_entry(shard, event, entry, seq)
  local row = table.concat({ entry.status, entry.version, entry.epoch, entry.seq, entry.at_ms,
    entry.user_id, entry.fingerprint, entry.tier_no, entry.quantity, entry.join_no,
    string.format('%.0f', entry.stalled_at_ms), shard.epoch, seq, shard.at_ms }, ' ')
  event.entry_of[entry.entry_id], event.new_entries[entry.entry_id] = row, row
  if entry.is_waiting == (entry.status == 'waiting') then return end
  entry.is_waiting = entry.status == 'waiting'
  if event.tiers[entry.tier_no] == nil then read_stock(event, { [entry.tier_no] = true }) end
  local tier = event.tiers[entry.tier_no]
  tier.waiting, tier.has_waited = tier.waiting + (entry.is_waiting and 1 or -1), true
  event.is_waiting[entry.member] = entry.is_waiting
end
