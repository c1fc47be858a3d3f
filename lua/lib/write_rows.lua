-- Write rows in one call, if there are any: HSET and ZREM take them as they are.
local function write_rows(command, key, rows)
  if #rows > 0 then redis.call(command, key, unpack(rows)) end
end
