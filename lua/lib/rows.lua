-- Rows of hashes: read into tables, and written from them.

-- Read the rows of `ids` from a hash into `into`; a missing row becomes false. In one call per
-- thousand, since Lua passes at most 8 000 words: the tickets of a batch of bookings may be more.
local function read_rows(key, ids, into)
  for first = 1, #ids, 1000 do
    local last = math.min(#ids, first + 999)
    local rows = redis.call('HMGET', key, unpack(ids, first, last))
    for n = first, last do into[ids[n]] = rows[n - first + 1] end
  end
end

-- Write rows in one call, if there are any: HSET and ZREM take them as they are.
local function write_rows(command, key, rows)
  if #rows > 0 then redis.call(command, key, unpack(rows)) end
end

-- Turn a table into the words of HSET (name, value, ...) or, by score, of ZADD (score, name, ...).
local function flat(rows, is_by_score)
  local words = {}
  for name, value in pairs(rows) do
    local w = #words
    if is_by_score then name, value = value, name end
    words[w + 1], words[w + 2] = name, value
  end
  return words
end
