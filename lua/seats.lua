#!lua flags=no-writes
--[[
seats: the seat map of an event, or what changed in it since a version.

Guarantees   I2: all of one moment.
Atomicity    Reads only.
Idempotency  Nothing changes.
Cost         O(sections), or O(changes); 3 reads.

KEYS (one hash tag: the shard's)
  1 meta           hash    epoch, state, seq, persisted_seq, backlog_max      read
  2 seats          hash    of each section its seats, see docs/SEATS.md       read

ARGV
  1 epoch          string  epoch[:seq] the caller believes in
  2 since          int     a version of the map; -1 for all of it

Returns (first that applies)
  NOT_ON_SALE                            the event has no seats, or is not published
  SEATS_CHANGED    version, at_ms, ...   each further word: version letter seat+seat+...
  SEATS            version, at_ms, ...   each further word: the status of a section, in order

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        nothing
]]

-- Bind.
local meta, seats = KEYS[1], KEYS[2]
local epoch, seen_seq = read_epoch(ARGV[1])
local since = tonumber(ARGV[2])
if not since then return redis.error_reply('BADARG since') end

-- Fence.
local shard, shut = enter(meta, nil, epoch, seen_seq)
if shut then return shut end

-- Reply.
local head = redis.call('HMGET', seats, 'version', 'count')
local version = tonumber(head[1])
if not version or not head[2] then return { 'NOT_ON_SALE' } end
local fields = {}
if since >= 0 and since <= version and version - since <= 500 then
  local changes = { 'SEATS_CHANGED', head[1], shard.at_ms }
  for n = since + 1, version do fields[#fields + 1] = 'log.' .. n % 1024 end
  if #fields > 0 then
    local rows = redis.call('HMGET', seats, unpack(fields))
    for n, change in ipairs(rows) do changes[n + 3] = change end
  end
  return changes
end
for section_no = 1, tonumber(head[2]) do fields[section_no] = section_no .. '.status' end
return { 'SEATS', head[1], shard.at_ms, unpack(redis.call('HMGET', seats, unpack(fields))) }
