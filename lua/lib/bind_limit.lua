-- Bind how many orders a person may send within a while, in ms; nil if that is no limit, which is a
-- bug in the caller. A bucket holds that many attempts, and is filled by one each `step_ms`.
local function bind_limit(attempts_max, window_ms)
  if window_ms < attempts_max or window_ms > 86400000 then return nil end
  local step_ms = math.floor(window_ms / attempts_max)
  return { attempts_max = attempts_max, window_ms = window_ms, full_at_of = {},
    step_ms = step_ms, bucket_ms = attempts_max * step_ms }
end
