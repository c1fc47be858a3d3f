-- Keep the buckets that this batch took from. They are written last and for this server alone: a
-- restart or a failover may forget them, so that refusals cost no log and no fsync.
local function keep_attempts(limit, at_ms)
  local words, w, fresh, fresh_text = {}, 0, at_ms + limit.step_ms, nil
  for user_id, full_at in pairs(limit.full_at_of) do
    local text = full_at == fresh and fresh_text or string.format('%.0f', full_at)
    if full_at == fresh then fresh_text = text end
    words[w + 1], words[w + 2] = user_id, text
    w = w + 2
  end
  if w == 0 then return end
  redis.set_repl(redis.REPL_NONE)
  redis.call('HSET', limit.key, unpack(words))
  redis.call('PEXPIREAT', limit.key, string.format('%.0f', limit.dies_at_ms))
end
