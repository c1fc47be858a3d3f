-- Take an attempt out of the bucket of the `n`th order's person, or return after how many ms there
-- will be one. A bucket is known by when it is full again. Both hashes are looked at, since one
-- whose turn has come again may have what it had for a moment longer.
local function count_attempt(limit, user_id, n, at_ms)
  local full_at = limit.full_at_of[user_id]
  if not full_at then
    local now, before = limit.now[n], limit.before[n]
    full_at = at_ms
    if now then full_at = math.max(full_at, tonumber(now)) end
    if before then full_at = math.max(full_at, tonumber(before)) end
  end
  full_at = full_at + limit.step_ms
  if full_at - at_ms > limit.bucket_ms then return full_at - at_ms - limit.bucket_ms end
  limit.full_at_of[user_id] = full_at
end
