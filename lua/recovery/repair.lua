#!lua flags=allow-oom
--[[
repair: put single values of one event right, each only if it is still what the plan saw.

Guarantees   I13, F40, F41: writes only while the shard is shut, and claimed by this repair. I8:
             what is written is what the journal's records make, so no record is needed.
Atomicity    All or nothing; every check precedes the first write.
Idempotency  A value that is as wanted already counts as repaired.
Cost         O(changes): one read and at most one write each.

KEYS (one hash tag: the shard's)
  1 meta       hash    claim, state                                        read
  2 due        zset    event_id -> when its next hold runs out, Unix ms    write
  3 stock      hash    sale window, limits; per tier what is left and sold read, write
  4 bookings   hash    booking_id -> booking, see docs/DATA.md             read, write
  5 persons    hash    user_id[/tier_no] -> places held or booked          read, write
  6 deadlines  zset    hold_id -> expires_at_ms, of live holds             read, write
  7 seats      hash    of each section its seats, see docs/SEATS.md        read, write
  8 tickets    hash    ticket_id -> check-in                               read, write
  9 promos     hash    promo codes and their uses                          read, write

ARGV
  1 claim      int     epoch of the repair
  2 event_id   string  which event
  then for each change, up to 500:
  3 where      string  stock, bookings, persons, deadlines, seats, tickets or promos
  4 name       string  the field; of deadlines the hold
  5 seen       string  = and the value that the plan saw; empty: there was none
  6 wanted     string  = and the value that it must have; empty: none

Returns how many values were written

Errors       FENCED claim state: the shard is not shut, or claimed by another. BADARG: a bug in the
             caller. CHANGED where name: a value is not what the plan saw, so it is void.
Emits        nothing
]]

-- Bind.
local meta, due, deadlines = KEYS[1], KEYS[2], KEYS[6]
local hashes = { stock = KEYS[3], bookings = KEYS[4], persons = KEYS[5], seats = KEYS[7],
  tickets = KEYS[8], promos = KEYS[9] }
local claim, event_id = ARGV[1], ARGV[2]
if #ARGV < 6 or (#ARGV - 2) % 4 ~= 0 or #ARGV > 2 + 4 * 500 then
  return redis.error_reply('BADARG changes')
end

-- Fence: the very opposite of what every other script wants.
local door = redis.call('HMGET', meta, 'claim', 'state')
if door[1] ~= claim or door[2] ~= 'recovering' then
  return redis.error_reply('FENCED ' .. tostring(door[1]) .. ' ' .. tostring(door[2]))
end

-- Check.
redis.call('ZCARD', due)
local changes = {}
for n = 3, #ARGV, 4 do
  local where, name, seen, wanted = ARGV[n], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3]
  local key, value = hashes[where], nil
  if key then
    value = redis.call('HGET', key, name)
  elseif where == 'deadlines' and tonumber(string.sub(wanted, 2)) then
    value = redis.call('ZSCORE', deadlines, name)
  else
    return redis.error_reply('BADARG where ' .. where)
  end
  local now = value and '=' .. value or ''
  if now ~= wanted then
    if now ~= seen then return redis.error_reply('CHANGED ' .. where .. ' ' .. name) end
    changes[#changes + 1] = { key, name, wanted ~= '' and string.sub(wanted, 2) }
  end
end

-- Apply.
for _, change in ipairs(changes) do
  local key, name, value = change[1], change[2], change[3]
  if not key then
    redis.call('ZADD', deadlines, value, name)
    redis.call('ZADD', due, 'LT', value, event_id)
  elseif value then
    redis.call('HSET', key, name, value)
  else
    redis.call('HDEL', key, name)
  end
end

-- Reply.
return #changes
