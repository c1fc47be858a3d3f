#!lua flags=no-writes
--[[
seats: the seat map of an event, or what changed in it since a version.

Guarantees   I2: all of one moment. Seats of a hidden tier are told only with a promo code that
             unlocks it.
Atomicity    Reads only.
Idempotency  Nothing changes.
Cost         O(sections), or O(changes); 4 reads, and 2 more where tiers are hidden.

KEYS (one hash tag: the shard's)
  1 meta           hash    epoch, state, seq, persisted_seq, backlog_max      read
  2 seats          hash    of each section its seats, see docs/SEATS.md       read
  3 stock          hash    the event's stock                                  read
  4 promos         hash    promo codes and their uses                         read

ARGV
  1 epoch          string  epoch[:seq] the caller believes in
  2 since          int     a version of the map; -1 for all of it
  3 code           string  a promo code, empty for none, or * for all, to organizers

Returns (first that applies)
  EVENT_DAMAGED                          a key of it is lost, and it is being rebuilt
  NOT_ON_SALE                            the event has no seats, or is not published
  SEATS_CHANGED    version, at_ms, ...   each further word: version letter seat+seat+...
  SEATS            version, at_ms, ...   each further word: the status of a section, in order;
                                         empty where its tier is hidden

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        nothing
]]

-- Bind.
local meta, seats, stock, promos = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local epoch, seen_seq = read_epoch(ARGV[1])
local since, code = tonumber(ARGV[2]), ARGV[3]
if not since or not code then return redis.error_reply('BADARG since') end

-- Fence.
local shard, shut = enter(meta, nil, epoch, seen_seq)
if shut then return shut end

-- Reply.
local head = redis.call('HMGET', seats, 'version', 'count', '!')
if head[3] ~= redis.call('HGET', stock, '!') then return { 'EVENT_DAMAGED' } end
local version, count = tonumber(head[1]), tonumber(head[2])
if not version or not count then return { 'NOT_ON_SALE' } end

local function locked_sections()
  local event, fields, locked = { promos = promos }, {}, {}
  event.hidden = code ~= '*' and redis.call('HGET', stock, 'hidden')
  if not event.hidden then return locked end
  for section_no = 1, count do fields[section_no] = section_no .. '.layout' end
  for section_no, layout in ipairs(redis.call('HMGET', seats, unpack(fields))) do
    locked[section_no] = is_locked(event, string.match(layout, '^%d+'), '~' .. code)
  end
  return locked
end

local locked, fields = locked_sections(), {}
if since >= 0 and since <= version and version - since <= 500 then
  local changes = { 'SEATS_CHANGED', head[1], shard.at_ms }
  for n = since + 1, version do fields[#fields + 1] = 'log.' .. n % 1024 end
  local rows = #fields > 0 and redis.call('HMGET', seats, unpack(fields)) or {}
  for _, change in ipairs(rows) do
    -- Seats that move together are of one tier, so that the first tells for all.
    local section_no = tonumber(string.match(change, ' s(%d+)'))
    if not locked[section_no] then changes[#changes + 1] = change end
  end
  return changes
end
for section_no = 1, count do fields[section_no] = section_no .. '.status' end
local statuses = redis.call('HMGET', seats, unpack(fields))
for section_no in ipairs(statuses) do
  if locked[section_no] then statuses[section_no] = '' end
end
return { 'SEATS', head[1], shard.at_ms, unpack(statuses) }
