#!lua flags=allow-oom
--[[
cancel_item: give back some places of bookings; the last ones end the booking.

Guarantees   I1 conservation; I10 the booking's version strictly increases; I12 the count goes down
             with the places. A place whose ticket is checked in does not come back.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By the version that the caller has seen: what was done at it is the reply again.
Cost         O(commands + places); 4 reads and 3 writes per event, 2 reads and 1 write per call, and
             1 XADD per call.

KEYS (one hash tag: the shard's)
  1 meta       hash    epoch, state, seq, persisted_seq, backlog_max          read, write
  2 journal    stream  one record per change                                  append
  3 due        zset    event_id -> when its next hold runs out, Unix ms       write
  4..14 event  keys    the eleven of an event, as `bind_events` says; repeated for each

ARGV
  1 epoch         string  epoch[:seq] the caller believes in
  2 event_id      string  one per event, in the order of KEYS
  then for each command, up to 128:
  3 event_no      int     1.. which of the events
  4 booking_id    string  which booking
  5 user_id       string  its owner
  6 version       int     1.. of the booking, as the caller has seen it
  7 lines         string  tier_no:quantity,... distinct tiers, 1..10 lines

Returns one array per command, in order (first that applies)
  NOT_FOUND                                             no such booking of that user
  REPLAYED            epoch, seq, at_ms                 done at that version before
  VERSION_CHANGED     version                           something else was done at that version
  NOT_IN_BOOKING      line                              it has not so many places of that tier
  ALREADY_CHECKED_IN  checked_in_at_ms, gate            somebody is in on one of them
  BACKPRESSURE                                          transient: PostgreSQL is too far behind
  TIER_HAS_SEATS      line                              which of its seats, a number does not say
  CANCELLED           epoch, seq, at_ms                 these were its last places
  ITEM_CANCELLED      epoch, seq, at_ms

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `item_cancelled`: booking_id, user_id, booking_version, items, left, cuts; or
             `cancelled`: booking_id, user_id, items
]]

-- Read the lines to be cancelled, `tier_no:quantity,...`; nil if they are not that.
local function parse_cut(text)
  if string.find(text, '[^%d:,]') then return nil end
  local cut, seen, chars = {}, {}, -1
  for tier_no, quantity in string.gmatch(text, '([1-9]%d*):([1-9]%d*)') do
    if seen[tier_no] then return nil end
    seen[tier_no] = true
    cut[#cut + 1] = { tier_no = tier_no, quantity = tonumber(quantity) }
    chars = chars + #tier_no + #quantity + 2
  end
  return #cut > 0 and #cut <= 10 and chars == #text and cut or nil
end

-- Reply to a cancellation at a version that is over: the first reply again if the same lines were
-- cancelled then, else what version the booking has now.
local function replay_cut(row, version, cut)
  local status, now, items = string.match(row, '^(%S+) (%S+) %S+ %S+ %S+ %S+ %S+ (%S+)')
  local wanted, count, done, place = {}, 0, 0, nil
  for _, line in ipairs(cut) do wanted[line.tier_no], count = line.quantity, count + 1 end
  local _, _, cuts = layout(items)
  local n, text = 0, nil
  for one in string.gmatch(cuts, '[^/]+') do
    n = n + 1
    if n == version then
      place = { string.match(one, '^(%d+)-(%d+)-(%d+)-') }
      text = string.gsub(string.match(one, '-([%dx,]+)$'), 'x', ':')
    end
  end
  if status == 'cancelled' and version == tonumber(now) - 1 then
    place, text = { string.match(row, '(%d+) (%d+) (%d+)$') }, string.match(items, '^[^/]+')
  end
  for tier_no, quantity in string.gmatch(text or '', '(%d+):(%d+):%d+') do
    if wanted[tier_no] ~= tonumber(quantity) then return { 'VERSION_CHANGED', tonumber(now) } end
    done = done + 1
  end
  if done ~= count then return { 'VERSION_CHANGED', tonumber(now) } end
  return { 'REPLAYED', place[1], place[2], place[3] }
end

-- Return the refusal if a ticket that a cut would cancel is checked in: of each tier the last ones.
local function used_ticket(event, booking_id, items, cut)
  local live, first = layout(items)
  local before = 0
  for tier_no, quantity in string.gmatch(first, '(%d+)x(%d+)x%d+') do
    for _, line in ipairs(cut) do
      if line.tier_no == tier_no then
        for number = before + live[tier_no] - line.quantity + 1, before + live[tier_no] do
          local row = event.ticket_of['tkt_' .. string.sub(booking_id, 4) .. '_' .. number] or ''
          local at_ms, gate = string.match(row, '^checked_in %S+ %S+ (%S+) (%S+)')
          if at_ms then return { 'ALREADY_CHECKED_IN', at_ms, gate } end
        end
      end
    end
    before = before + quantity
  end
end

-- Return which line of a cut is of a tier with seats; the first if it leaves seats alone.
local function seated_line(items, cut)
  for n, line in ipairs(cut) do
    if string.find(',' .. items, ',' .. line.tier_no .. ':%d+:%d+:s') then return n end
  end
  return 1
end

-- Give back some places of a confirmed booking, not the last. Its row keeps what it was made with
-- and each cut, so that its past is known (see `layout`). Returns the seq of the record.
local function cut_booking(shard, event, booking_id, cut)
  local version, head, user_id, fingerprint, items = string.match(event.booking_of[booking_id],
    '^%S+ (%S+) (%S+ %S+ %S+) (%S+) (%S+) (%S+)$')
  local _, first, cuts = layout(items)
  local gone, left, cut_texts, places = {}, {}, {}, 0
  for _, line in ipairs(cut) do
    gone[line.tier_no], places = line.quantity, places + line.quantity
  end
  for tier_no, quantity, price in string.gmatch(items, '(%d+):(%d+):(%d+)') do
    local less = gone[tier_no] or 0
    if less > 0 then cut_texts[#cut_texts + 1] = tier_no .. ':' .. less .. ':' .. price end
    if less < tonumber(quantity) then
      left[#left + 1] = tier_no .. ':' .. (quantity - less) .. ':' .. price
    end
  end
  local cut_text, left_text = table.concat(cut_texts, ','), table.concat(left, ',')
  local _, _, cut_rows = lines_of(cut_text)
  local _, _, left_rows = lines_of(left_text)
  local seq = string.format('%.0f', shard.seq + 1)
  cuts = first .. (cuts == '' and '' or '/' .. cuts) .. '/' .. shard.epoch
    .. '-' .. seq .. '-' .. shard.at_ms .. '-' .. string.gsub(cut_text, ':', 'x')
  move(event, cut, 'sold', 'available', user_id, -places)
  note(shard, event, 'item_cancelled', '"booking_id":"' .. booking_id .. '","user_id":"' .. user_id
    .. '","booking_version":' .. (version + 1) .. ',"items":' .. cut_rows .. ',"left":'
    .. left_rows .. ',"cuts":"' .. cuts .. '"')
  local row = table.concat({ 'confirmed', version + 1, head, user_id, fingerprint,
    left_text .. '/' .. cuts }, ' ')
  keep_booking(event, booking_id, row)
  return seq
end

-- Bind.
local meta, journal, due = KEYS[1], KEYS[2], KEYS[3]
local epoch, seen_seq = read_epoch(ARGV[1])
local events = bind_events()
local commands = bind_commands(events, 2 + #events, 5)
if not commands then return redis.error_reply('BADARG command') end

-- Fence, and read all that the checks need.
local shard, shut = enter(meta, journal, epoch, seen_seq)
if shut then return shut end
for _, event in ipairs(events) do
  event.booking_ids, event.ticket_ids, event.ticket_of = {}, {}, {}
end
for _, command in ipairs(commands) do
  local event, tail = command.event, string.sub(command[1], 4)
  event.booking_ids[#event.booking_ids + 1] = command[1]
  for number = 1, 10 do
    event.ticket_ids[#event.ticket_ids + 1] = 'tkt_' .. tail .. '_' .. number
  end
  command.cut = parse_cut(command[4])
  if not command.cut then return redis.error_reply('BADARG lines') end
end
for _, event in ipairs(events) do
  read_rows(event.bookings, event.booking_ids, event.booking_of)
  read_rows(event.tickets, event.ticket_ids, event.ticket_of)
end

-- Check. Decisions change the tables above and nothing else.
local function cancel_item(command)
  local event, booking_id, cut = command.event, command[1], command.cut
  local status, version, user_id, items = string.match(event.booking_of[booking_id] or '',
    '^(%S+) (%S+) %S+ %S+ %S+ (%S+) %S+ (%S+)')
  if user_id ~= command[2] then return { 'NOT_FOUND' } end
  if version ~= command[3] or status ~= 'confirmed' then
    return replay_cut(event.booking_of[booking_id], tonumber(command[3]), cut)
  end
  local live = layout(items)
  local left = 0
  local has_seats = string.find(items, ':s', 1, true)
  for _, quantity in pairs(live) do left = left + quantity end
  for n, line in ipairs(cut) do
    if line.quantity > (live[line.tier_no] or 0) then return { 'NOT_IN_BOOKING', n } end
    left = left - line.quantity
  end
  local used = used_ticket(event, booking_id, items, cut)
  if used then return used end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  -- Which of its seats a booking would give up, nobody has said: all of it, or nothing.
  if left > 0 and has_seats then return { 'TIER_HAS_SEATS', seated_line(items, cut) } end
  if left == 0 then
    return { 'CANCELLED', epoch, end_booking(shard, event, booking_id, ''), shard.at_ms }
  end
  return { 'ITEM_CANCELLED', epoch, cut_booking(shard, event, booking_id, cut), shard.at_ms }
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = cancel_item(command) end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
