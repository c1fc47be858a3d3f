#!lua
--[[
seat: load one section of an event's seats, before the event is published.

Guarantees   I2: each seat is free at the start; nothing is sold from it until `publish`.
Atomicity    All or nothing.
Idempotency  The same section again changes nothing; once published, another is refused.
Cost         O(seats of the section); 3 reads, 1 write.

KEYS (one hash tag: the shard's)
  1 meta          hash    epoch, state, seq, persisted_seq, backlog_max       read
  2 stock         hash    the event's stock                                   read
  3 seats         hash    of each section its seats, see docs/SEATS.md        read, write

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 section_no    int     1..200
  3 tier_no       int     1..100 the tier whose places the seats are
  4 rows          string  seats of each row, joined by commas; 1..2000 seats in all
  5 kinds         string  empty, or a digit for each seat, with a slash between rows: accessible 1,
                          restricted view 2, aisle 4, added up

Returns (first that applies)
  EVENT_DAMAGED                   a key of it is lost, and it is being rebuilt
  REPLAYED                seats   loaded before, and published
  IDEMPOTENCY_KEY_REUSED          published with other content, or without this section
  SEATED                  seats   how many

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        nothing: `published` says what is sold
]]

-- Bind.
local meta, stock, seats = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local section_no, tier_no, rows, kinds = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local section_number, tier_number = tonumber(section_no), tonumber(tier_no)
if not string.find(section_no, '^[1-9]%d*$') or not string.find(tier_no, '^[1-9]%d*$')
  or section_number > 200 or tier_number > 100 or #rows > 10000 then
  return redis.error_reply('BADARG section')
end
local texts, total = {}, 0
for count in string.gmatch(rows .. ',', '([^,]*),') do
  local row_seats = string.find(count, '^[1-9]%d?%d?%d?$') and tonumber(count) or 3000
  total = total + row_seats
  if total > 2000 then return redis.error_reply('BADARG rows') end
  texts[#texts + 1] = string.rep('f', row_seats)
end
local status = table.concat(texts, '/')
if kinds ~= '' and string.gsub(kinds, '[0-7]', 'f') ~= status then
  return redis.error_reply('BADARG kinds')
end

-- Fence and replay.
local _, shut = enter(meta, nil, epoch, seen_seq)
if shut then return shut end
local layout = tier_no .. ' ' .. rows
local published = redis.call('HEXISTS', stock, 'fingerprint')
local known = redis.call('HMGET', seats, section_no .. '.layout', section_no .. '.kinds', '!')
if published == 0 and known[3] then return { 'EVENT_DAMAGED' } end
if published == 1 then
  if known[1] ~= layout or known[2] ~= kinds then return { 'IDEMPOTENCY_KEY_REUSED' } end
  return { 'REPLAYED', total }
end

-- Apply.
redis.call('HSET', seats, section_no .. '.layout', layout, section_no .. '.kinds', kinds,
  section_no .. '.status', status)

-- Reply.
return { 'SEATED', total }
