-- How often a person may try to take places, at any door: a bucket of attempts for each.

-- Bind how many orders a person may send within a while, in ms; nil if that is no limit, which is a
-- bug in the caller. A bucket holds that many attempts, and is filled by one each `step_ms`.
local function bind_limit(attempts_max, window_ms)
  if window_ms < attempts_max or window_ms > 86400000 then return nil end
  local step_ms = math.floor(window_ms / attempts_max)
  return { attempts_max = attempts_max, window_ms = window_ms, full_at_of = {},
    step_ms = step_ms, bucket_ms = attempts_max * step_ms }
end

-- Read when the buckets of a batch's persons are full again, of two hashes by turns (`take_turn`).
-- What is older is full by now.
local function read_attempts(limit, at_ms, even, odd, ...)
  if not limit then return false end
  local before = take_turn(limit, limit.window_ms, at_ms, even, odd)
  limit.now = redis.call('HMGET', limit.key, ...)
  limit.before = redis.call('HMGET', before, ...)
  return limit
end

-- Tell when a bucket is full again, of what two hashes have of it. Both are looked at, since one
-- whose turn has come again may have what it had for a moment longer. None takes longer to fill
-- than an empty one: what says so is of a clock that has been set back, and no attempt (F58).
local function full_again(limit, at_ms, now, before)
  local full_at, latest = at_ms, at_ms + limit.bucket_ms
  now, before = tonumber(now or 0), tonumber(before or 0)
  if now > full_at and now <= latest then full_at = now end
  if before > full_at and before <= latest then full_at = before end
  return full_at
end

-- Take an attempt out of the bucket of the `n`th command's person, or return after how many ms
-- there will be one. A bucket is known by when it is full again.
local function count_attempt(limit, user_id, n, at_ms)
  local full_at = limit.full_at_of[user_id]
  if not full_at then
    local now, before = limit.now[n], limit.before[n]
    full_at = (now or before) and full_again(limit, at_ms, now, before) or at_ms
  end
  full_at = full_at + limit.step_ms
  if full_at - at_ms > limit.bucket_ms then return full_at - at_ms - limit.bucket_ms end
  limit.full_at_of[user_id] = full_at
end

-- Refuse the `n`th command if its person has no attempt left, and take one if there is one. What is
-- known must be told again before this is asked, and costs none (I6).
local function refuse_attempt(limit, user_id, n, at_ms)
  local wait_ms = limit and count_attempt(limit, user_id, n, at_ms)
  return wait_ms and { 'RATE_LIMITED', limit.attempts_max, limit.window_ms, wait_ms }
end

-- Bind the limit that commands carry, at word `w` and the next; all carry the same. False if there
-- is none, nil if it is no limit, which is a bug in the caller.
local function bind_command_limit(commands, w)
  if not commands[1] then return false end
  local attempts_max, window_ms = tonumber(commands[1][w]), tonumber(commands[1][w + 1])
  if not (attempts_max and window_ms) then return nil end
  return attempts_max > 0 and bind_limit(attempts_max, window_ms)
end

-- Read the buckets of the persons of commands.
local function read_command_attempts(limit, commands, at_ms, even, odd)
  if not limit then return end
  local user_ids = {}
  for n, command in ipairs(commands) do user_ids[n] = command.user_id end
  read_attempts(limit, at_ms, even, odd, unpack(user_ids))
end

-- Keep the buckets that this batch took from, so that refusals cost no log and no fsync.
local function keep_attempts(limit, at_ms)
  local words, w, fresh, fresh_text = {}, 0, at_ms + limit.step_ms, nil
  for user_id, full_at in pairs(limit.full_at_of) do
    local text = full_at == fresh and fresh_text or string.format('%.0f', full_at)
    if full_at == fresh then fresh_text = text end
    words[w + 1], words[w + 2] = user_id, text
    w = w + 2
  end
  keep_turn(limit, words)
end
