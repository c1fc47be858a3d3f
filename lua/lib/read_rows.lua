-- Read the rows of `ids` from a hash, in one call, into `into`; a missing row becomes false.
local function read_rows(key, ids, into)
  local count = #ids
  if count == 0 then return end
  local rows = redis.call('HMGET', key, unpack(ids))
  for n = 1, count do into[ids[n]] = rows[n] end
end
