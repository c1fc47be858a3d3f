-- Read the rows of `ids` from a hash, in one call, into `into`; a missing row becomes false.
local function read_rows(key, ids, into)
  if #ids == 0 then return end
  local rows = redis.call('HMGET', key, unpack(ids))
  for n, id in ipairs(ids) do into[id] = rows[n] end
end
