-- What is kept for a while and for this server alone, in two hashes by turns, one per window.

-- Choose the hash of this window, `kept.key`, and return that of the window before. Each dies as a
-- whole when its turn comes again.
local function take_turn(kept, window_ms, at_ms, even, odd)
  local window_no = math.floor(at_ms / window_ms)
  kept.dies_at_ms = (window_no + 2) * window_ms
  if window_no % 2 == 0 then
    kept.key = even
    return odd
  end
  kept.key = odd
  return even
end

-- Write words of HSET to the hash of this window. Called last, after all that has a log and
-- replicas: a restart or a failover may forget this.
local function keep_turn(kept, words)
  if #words == 0 then return end
  redis.set_repl(redis.REPL_NONE)
  redis.call('HSET', kept.key, unpack(words))
  redis.call('PEXPIREAT', kept.key, string.format('%.0f', kept.dies_at_ms))
end
