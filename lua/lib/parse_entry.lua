-- Read a waitlist entry as it is kept: `status version epoch seq at_ms user_id fingerprint tier_no
-- quantity join_no stalled_at_ms changed_epoch changed_seq changed_at_ms`. Status is waiting,
-- offered, accepted, declined, expired or left; join_no has twelve digits and orders a tier's list.
local function parse_entry(entry_id, row)
  local w = { string.match(row, '^(%S+)' .. string.rep(' (%S+)', 13) .. '$') }
  return {
    entry_id = entry_id, status = w[1], version = tonumber(w[2]), epoch = w[3], seq = w[4],
    at_ms = w[5], user_id = w[6], fingerprint = w[7], tier_no = w[8], quantity = tonumber(w[9]),
    join_no = w[10], stalled_at_ms = tonumber(w[11]), changed_epoch = w[12], changed_seq = w[13],
    changed_at_ms = w[14], member = string.format('%03d:%s:%s', w[8], w[10], entry_id),
  }
end
