-- Read a hold as it is kept: `status version epoch seq at_ms user_id fingerprint items
-- expires_at_ms changed_epoch changed_seq detail`. Status is held, released, expired or confirmed;
-- changed_* is the place of its last record; detail is JSON.
local function parse_hold(hold_id, row)
  local w = { string.match(row, '^' .. string.rep('(%S+) ', 11) .. '(.+)$') }
  return {
    hold_id = hold_id, status = w[1], version = tonumber(w[2]), epoch = w[3], seq = w[4],
    at_ms = tonumber(w[5]), user_id = w[6], fingerprint = w[7], items = w[8],
    expires_at_ms = tonumber(w[9]), detail = w[12],
  }
end
