#!lua flags=allow-oom
--[[
claim: change the door of a shard, for the recovery that claims it; tell what it was.

Guarantees   Claims only ever grow: a recovery that was overtaken changes nothing any more, however
             late it wakes up (F41). Fencing an empty shard leaves it empty, and a rebuild that was
             not finished stays known as such. A shard that was emptied under the recovery is not
             opened as if nothing had happened: `set` needs the claim to stand, and `open` that a
             rebuild of it is whole, by a mark that was written behind its rows (F5, F13).
Atomicity    All or nothing; every check precedes the first write. From `fence` on no script of the
             sale changes anything (I17): what was written before it is in the journal.
Idempotency  The same call again changes nothing.
Cost         O(fields of `meta`); 1 read, 1 write.

KEYS (one hash tag: the shard's)
  1 meta      hash    epoch, state, claim, ...         read, write

ARGV
  1 claim     int     epoch of the recovery
  2 verb      string  fence: shut the door; begin: write what follows, whatever is there; set:
                      write it if this claim stands; open: and no rebuild is unfinished
  3 words     ...     field, value, field, value, ...

Returns `meta` as it was: field, value, field, value, ...

Errors       FENCED claim: a later recovery has the shard. FENCED lost: what this recovery has
             written is not there any more.
Emits        nothing
]]

-- Bind.
local meta = KEYS[1]
local claim, verb = ARGV[1], ARGV[2]

-- Fence.
local before, fields = redis.call('HGETALL', meta), {}
for n = 1, #before, 2 do fields[before[n]] = before[n + 1] end
if tonumber(fields.claim or 0) > tonumber(claim) then
  return redis.error_reply('FENCED ' .. fields.claim)
end
local is_whole = fields.state ~= 'rebuilding' or fields.loaded == claim
if verb == 'set' and fields.claim ~= claim
  or verb == 'open' and (fields.claim ~= claim or not is_whole) then
  return redis.error_reply('FENCED lost')
end

-- Apply.
if verb ~= 'fence' then
  redis.call('HSET', meta, 'claim', claim, unpack(ARGV, 3))
elseif #before > 0 then
  local state = fields.state == 'rebuilding' and 'rebuilding' or 'recovering'
  redis.call('HSET', meta, 'claim', claim, 'state', state)
end

-- Reply.
return before
