-- Pass the shard's door, or return the error that says it is shut. Guards against a worker of an
-- older epoch, a wiped Redis, a shard under recovery, and a Redis that has lost records which the
-- caller has seen (I13, I17; F5, F10, F12).
local function enter(meta, journal, epoch, seen_seq)
  local door = redis.call('HMGET', meta, 'epoch', 'state', 'seq', 'persisted_seq', 'backlog_max',
    'bytes', 'bytes_end', 'oldest_at_ms', 'backlog_age_ms_max')
  if door[1] ~= epoch or door[2] ~= 'open' then
    return nil, redis.error_reply('FENCED ' .. tostring(door[1]) .. ' ' .. tostring(door[2]))
  end
  local time, seq = redis.call('TIME'), tonumber(door[3])
  if seq < seen_seq then
    return nil, redis.error_reply('FENCED ' .. epoch .. ' lost: it ends at ' .. door[3])
  end
  local at_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  local waiting, bytes = seq - tonumber(door[4]), tonumber(door[6] or 0)
  local room, at_text = tonumber(door[5]) - waiting, string.format('%.0f', at_ms)
  -- The oldest record that PostgreSQL lacks is the next one, if it lacks none.
  local oldest_at_ms = waiting > 0 and door[8] or at_text
  -- What it lacks is bounded in records, in bytes and in age (F24).
  if bytes >= tonumber(door[7] or math.huge)
    or at_ms - tonumber(oldest_at_ms) >= tonumber(door[9] or math.huge) then
    room = math.min(room, 0)
  end
  return {
    meta = meta, journal = journal, epoch = epoch, seq = seq, records = {}, count = 0, unfolded = 0,
    template_count = 0, digits = { '1', '2', '3', '4', '5', '6', '7', '8', '9', [0] = '0' },
    room = room, bytes = bytes, oldest_at_ms = oldest_at_ms, at_ms = at_ms, at_text = at_text,
  }
end
