-- The shard's door, and what a call is about: its epoch, its events, its commands.

-- Read the first argument of every script: the epoch the caller believes in, and behind a colon
-- the last record it knows of. Anything else is no epoch that a shard has.
local function read_epoch(text)
  local epoch, seen_seq = string.match(text, '^(%d+):(%d+)$')
  return epoch or text, tonumber(seen_seq) or 0
end

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
  local age_ms = at_ms - tonumber(oldest_at_ms)
  -- What it lacks is bounded in records, in bytes and in age (F24).
  if bytes >= tonumber(door[7] or math.huge) or age_ms >= tonumber(door[9] or math.huge) then
    room = math.min(room, 0)
  end
  -- Written by a clock that has been set back since: it ages from now on (F58).
  if age_ms < 0 then oldest_at_ms = at_text end
  return {
    meta = meta, journal = journal, epoch = epoch, seq = seq, records = {}, count = 0, unfolded = 0,
    template_count = 0, digits = { '1', '2', '3', '4', '5', '6', '7', '8', '9', [0] = '0' },
    room = room, bytes = bytes, oldest_at_ms = oldest_at_ms, at_ms = at_ms, at_text = at_text,
  }
end

-- Bind the events of a batch: eleven keys each from KEYS `first` on, 4 if it is not told, their ids
-- from ARGV 2 on. What was read of an event, and what `apply` will write, is kept in its table.
--    1 stock      hash    sale window, limits; per tier what is left and sold
--    2 bookings   hash    booking_id -> booking, see docs/DATA.md
--    3 persons    hash    user_id[/tier_no] -> places held or booked
--    4 holds      hash    hold_id -> hold, see docs/DATA.md
--    5 deadlines  zset    hold_id -> expires_at_ms, of live holds
--    6 ended      zset    hold_id -> when it ended, Unix ms
--    7 seats      hash    of each section its seats, see docs/SEATS.md
--    8 waitlist   zset    who waits for which tier, in order of joining
--    9 entries    hash    entry_id -> waitlist entry
--   10 tickets    hash    ticket_id -> check-in
--   11 promos     hash    promo codes and their uses
local function bind_events(first)
  local events = {}
  first = first or 4
  for i = 1, (#KEYS - first + 1) / 11 do
    local k = first + 11 * (i - 1)
    events[i] = {
      event_id = ARGV[1 + i],
      stock = KEYS[k], bookings = KEYS[k + 1], persons = KEYS[k + 2],
      holds = KEYS[k + 3], deadlines = KEYS[k + 4], ended = KEYS[k + 5],
      seats = KEYS[k + 6], waitlist = KEYS[k + 7], entries = KEYS[k + 8],
      tickets = KEYS[k + 9], promos = KEYS[k + 10],
      tiers = {}, booking_of = {}, hold_of = {}, taken = {},
      new_bookings = {}, new_holds = {}, new_deadlines = {}, old_deadlines = {}, new_ended = {},
      entry_of = {}, new_entries = {}, is_waiting = {}, new_stock = {}, wake_at_ms = math.huge,
      changed_persons = {}, changed_count = 0, new_count = 0, heads = {},
      plain_bookings = {}, plain_persons = {}, plain_words = 0,
    }
  end
  return events
end

-- Bind the commands of a batch: from ARGV `a` on, `words` words each, the first of which says which
-- event. Returns nil if that is not so, or there are more than 128, which is a bug in the caller.
local function bind_commands(events, a, words)
  local commands = {}
  while a <= #ARGV do
    local event = events[tonumber(ARGV[a])]
    if not event or not ARGV[a + words - 1] or #commands == 128 then return nil end
    local command = { event = event }
    for word = 1, words - 1 do command[word] = ARGV[a + word] end
    commands[#commands + 1] = command
    a = a + words
  end
  return #events <= 128 and commands or nil
end
