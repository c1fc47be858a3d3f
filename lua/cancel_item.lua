#!lua flags=allow-oom
--[[
cancel_item: give back some places of bookings; the last ones end the booking.

Guarantees   I1 conservation; I10 the booking's version strictly increases; I12 the count goes down
             with the places. A place whose ticket is checked in, or belongs to whom it was given,
             does not come back, nor does a tier keep fewer places than an order of it has.
Atomicity    Each command all or nothing; every check precedes the first write of the batch.
Idempotency  By the version that the caller has seen: what was done at it is the reply again.
Cost         O(commands + places); 5 reads and 3 writes per event, 2 reads and 1 write per call, and
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
  7 what          string  tier_no:quantity,... distinct tiers, 1..10 lines: of each the last tickets
                          that were not given away and are not used; or 1..10 tickets, joined by +,
                          each by its number (#3) or its seat (s1-7)

Returns one array per command, in order (first that applies)
  EVENT_DAMAGED                                         a key of it is lost, and it is being rebuilt
  NOT_FOUND                                             no such booking of that user
  REPLAYED            epoch, seq, at_ms                 done at that version before
  VERSION_CHANGED     version                           something else was done at that version
  NOT_IN_BOOKING      line                              it has not so many places of that tier, or
                                                        no such ticket: which of what is asked
  SEATS_NOT_NAMED     line                              some seats of that tier, and not which
  BELOW_MINIMUM       minimum                           fewer would be left than an order has; the
                                                        line follows, where there is one
  ALREADY_CHECKED_IN  checked_in_at_ms, gate            somebody is in on one; its id follows
  TICKET_TRANSFERRED  ticket_id                         given away, and its holder's
  NOT_UPGRADED                                          records of version 1 cannot say it
  BACKPRESSURE                                          transient: PostgreSQL is too far behind
  CANCELLED           epoch, seq, at_ms, record         these were its last places; record: its
                                                        JSON as journalled
  ITEM_CANCELLED      epoch, seq, at_ms, record

Errors       FENCED epoch state: the door is shut. BADARG: a bug in the caller.
Emits        journal `item_cancelled`: booking_id, user_id, booking_version, items, left, cuts,
             tickets, holders; or `cancelled`: booking_id, user_id, items, holders
]]

-- Read the lines of what is to be given back, `tier_no:quantity,...`; nil if they are not that.
local function parse_lines(text)
  if string.find(text, '[^%d:,]') then return nil end
  local lines, seen, chars = {}, {}, -1
  for tier_no, quantity in string.gmatch(text, '([1-9]%d*):([1-9]%d*)') do
    if seen[tier_no] then return nil end
    seen[tier_no] = true
    lines[#lines + 1] = { tier_no = tier_no, quantity = tonumber(quantity) }
    chars = chars + #tier_no + #quantity + 2
  end
  return #lines > 0 and #lines <= 10 and chars == #text and lines or nil
end

-- Read the tickets that are to be given back, `#number` or a seat each; nil if they are not that.
local function parse_names(text)
  local names, seen, chars = {}, {}, -1
  for name in string.gmatch(text, '[^+]+') do
    if seen[name] or not string.find(string.gsub(name, '^#', 's1-'), '^s[1-9]%d*%-[1-9]%d*$') then
      return nil
    end
    seen[name], names[#names + 1] = true, name
    chars = chars + #name + 1
  end
  return #names > 0 and #names <= 10 and chars == #text and names or nil
end

-- Count those tickets by tier whose numbers are in a set; also all of them, and the tiers.
local function count_tickets(tickets, numbers)
  local counts, all, tiers = {}, 0, 0
  for number, ticket in ipairs(tickets) do
    if numbers[number] then
      if not counts[ticket.tier_no] then tiers = tiers + 1 end
      counts[ticket.tier_no], all = (counts[ticket.tier_no] or 0) + 1, all + 1
    end
  end
  return counts, all, tiers
end

-- Find the tickets that are named, among those in a set: their numbers, as a set; nil and which
-- name it is, if one is not there, or a second name of another.
local function find_named(tickets, numbers, names)
  local number_of, found = {}, {}
  for number, ticket in ipairs(tickets) do
    if numbers[number] then number_of['#' .. number] = number end
    if numbers[number] and ticket.seat then number_of[ticket.seat] = number end
  end
  for n, name in ipairs(names) do
    local number = number_of[name]
    if not number or found[number] then return nil, n end
    found[number] = true
  end
  return found
end

-- Reply to a request at a version that is over: the first reply again if the same was given back
-- then, else what version the booking has now.
local function replay_cut(row, version, command)
  local status, now, items = string.match(row, '^(%S+) (%S+) %S+ %S+ %S+ %S+ %S+ (%S+)')
  local changed, place, n = { 'VERSION_CHANGED', tonumber(now) }, nil, 0
  local _, cuts = layout(items)
  for cut in string.gmatch(cuts, '[^/]+') do
    n = n + 1
    if n == version then place = { string.match(cut, '^(%d+)-(%d+)-(%d+)-') } end
  end
  local is_end = status == 'cancelled' and version == tonumber(now) - 1
  if is_end then place = { string.match(row, '(%d+) (%d+) (%d+)$') } end
  if not place then return changed end
  local tickets, gone = tickets_of(items), {}
  for number, ticket in ipairs(tickets) do
    if ticket.cut_at == (not is_end and version or nil) then gone[number] = true end
  end
  local counts, all, tiers = count_tickets(tickets, gone)
  if command.names then
    if #command.names ~= all or not find_named(tickets, gone, command.names) then return changed end
  else
    if #command.lines ~= tiers then return changed end
    for _, line in ipairs(command.lines) do
      if counts[line.tier_no] ~= line.quantity then return changed end
    end
  end
  return { 'REPLAYED', place[1], place[2], place[3] }
end

-- Choose the tickets of some lines: of each tier the last that live, were not given away and are
-- not used; in version 1, which cannot name them, the last that live. Returns their numbers as a
-- set, or nil and the refusal if they are too few.
local function choose(tickets, live, lines)
  local numbers, must_be_last = {}, records_version() < 2
  for _, line in ipairs(lines) do
    local left, inside, given, givens = line.quantity, nil, nil, 0
    for number = #tickets, 1, -1 do
      local ticket = tickets[number]
      if live[number] and ticket.tier_no == line.tier_no then
        if left > 0 and (must_be_last or not (ticket.in_at_ms or ticket.holder_id)) then
          numbers[number], left = true, left - 1
        end
        if ticket.in_at_ms then inside = ticket
        elseif ticket.holder_id then given, givens = ticket, givens + 1 end
      end
    end
    if left > givens then
      return nil, { 'ALREADY_CHECKED_IN', inside.in_at_ms, inside.gate, inside.ticket_id }
    end
    if left > 0 then return nil, { 'TICKET_TRANSFERRED', given.ticket_id } end
  end
  return numbers
end

-- Tell whether records of this reign can say that these tickets go, of those that live: version 1
-- knows only of the last ones of each tier, and no seats.
local function can_say(tickets, live, numbers)
  if records_version() > 1 then return true end
  local is_over = {}
  for number = #tickets, 1, -1 do
    local ticket = tickets[number]
    if numbers[number] and (is_over[ticket.tier_no] or ticket.seat) then return false end
    if live[number] and not numbers[number] then is_over[ticket.tier_no] = true end
  end
  return true
end

-- Give back some places of a confirmed booking, not the last. Its row keeps what it was made with
-- and each cut, so that its past is known (see `layout`). Returns the seq of the record.
local function cut_booking(shard, event, booking_id, tickets, numbers)
  local version, head, user_id, fingerprint, items = string.match(event.booking_of[booking_id],
    '^%S+ (%S+) (%S+ %S+ %S+) (%S+) (%S+) (%S+)$')
  local first, cuts = layout(items)
  local cut_text, left_text = items_of(tickets, numbers), items_of(tickets, numbers, true)
  local lines, places, cut_rows = lines_of(cut_text)
  local _, _, left_rows = lines_of(left_text)
  local seq, names, named = string.format('%.0f', shard.seq + 1), {}, ''
  for number = 1, records_version() > 1 and #tickets or 0 do
    if numbers[number] then names[#names + 1] = number end
  end
  cuts = first .. (cuts == '' and '' or '/' .. cuts) .. '/' .. shard.epoch .. '-' .. seq .. '-'
    .. shard.at_ms .. '-' .. string.gsub(string.gsub(cut_text, ':s[^,]*', ''), ':', 'x')
  if names[1] then
    cuts = cuts .. '#' .. table.concat(names, '+')
    named = ',"tickets":[' .. table.concat(names, ',') .. ']'
  end
  move(event, lines, 'sold', 'available', user_id, -places)
  note(shard, event, 'item_cancelled', '"booking_id":"' .. booking_id .. '","user_id":"' .. user_id
    .. '","booking_version":' .. (version + 1) .. ',"items":' .. cut_rows .. ',"left":'
    .. left_rows .. ',"cuts":"' .. cuts .. '"' .. named .. holders_text(tickets, numbers))
  local row = table.concat({ 'confirmed', version + 1, head, user_id, fingerprint,
    left_text .. '/' .. cuts }, ' ')
  keep_changed(event, booking_id, row)
  return seq
end

-- Say why lines cannot be given back whatever the tickets, or nothing: the booking has not so many
-- places of a tier, or they are seats, and which of them nobody has said.
local function refuse_lines(command, tickets, counts)
  for n, line in ipairs(command.lines) do
    if line.quantity > (counts[line.tier_no] or 0) then return { 'NOT_IN_BOOKING', n } end
  end
  for n, line in ipairs(command.lines) do
    for _, ticket in ipairs(tickets) do
      local is_of_line = ticket.tier_no == line.tier_no and ticket.seat
      if is_of_line and line.quantity < counts[line.tier_no] then
        return { 'SEATS_NOT_NAMED', n }
      end
    end
  end
end

-- Say if a tier would keep fewer places than an order of it has, but not none; of what goes of each
-- tier, `going` has how many, and perhaps on which line.
local function refuse_rest(event, tickets, counts, going)
  local tier_nos = {}
  for tier_no in pairs(going) do tier_nos[tier_no] = true end
  read_stock(event, tier_nos)
  for _, ticket in ipairs(tickets) do
    local its = going[ticket.tier_no]
    local left = its and counts[ticket.tier_no] - its.quantity or 0
    local minimum = its and event.tiers[ticket.tier_no].order_min
    if left > 0 and left < minimum then return { 'BELOW_MINIMUM', minimum, its.line } end
  end
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
look(events)
for _, event in ipairs(events) do event.booking_ids = {} end
for _, command in ipairs(commands) do
  local ids, is_named = command.event.booking_ids, string.find(command[4], '^[#s]')
  ids[#ids + 1] = command[1]
  command.names = is_named and parse_names(command[4])
  command.lines = not is_named and parse_lines(command[4])
  if not (command.names or command.lines) then return redis.error_reply('BADARG what') end
end
for _, event in ipairs(events) do
  read_bookings(event, event.booking_ids)
  read_tickets(event, event.booking_ids)
end

-- Check. Decisions change the tables above and nothing else.
local function cancel_item(command)
  local event, booking_id = command.event, command[1]
  if event.is_damaged then return { 'EVENT_DAMAGED' } end
  local status, version, user_id = string.match(event.booking_of[booking_id] or '',
    '^(%S+) (%S+) %S+ %S+ %S+ (%S+)')
  if user_id ~= command[2] then return { 'NOT_FOUND' } end
  if version ~= command[3] or status ~= 'confirmed' then
    return replay_cut(event.booking_of[booking_id], tonumber(command[3]), command)
  end
  local tickets, live, count = known_tickets(event, booking_id)
  local counts, numbers, refusal, n = count_tickets(tickets, live), nil, nil, nil
  local going = {}
  if command.names then
    numbers, n = find_named(tickets, live, command.names)
    if not numbers then return { 'NOT_IN_BOOKING', n } end
    for tier_no, quantity in pairs((count_tickets(tickets, numbers))) do
      going[tier_no] = { quantity = quantity }
    end
  else
    refusal = refuse_lines(command, tickets, counts)
    for line_no, line in ipairs(command.lines) do
      going[line.tier_no] = { quantity = line.quantity, line = line_no }
    end
  end
  refusal = refusal or refuse_rest(event, tickets, counts, going)
  if refusal then return refusal end
  if command.lines then numbers, refusal = choose(tickets, live, command.lines) end
  refusal = refusal or refuse_tickets(event, tickets, numbers)
  if refusal then return refusal end
  local _, gone = count_tickets(tickets, numbers)
  if gone < count and not can_say(tickets, live, numbers) then return { 'NOT_UPGRADED' } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  if gone == count then
    local seq = end_booking(shard, event, booking_id, holders_text(tickets, numbers))
    return done(shard, 'CANCELLED', seq)
  end
  return done(shard, 'ITEM_CANCELLED', cut_booking(shard, event, booking_id, tickets, numbers))
end

local replies = {}
for n, command in ipairs(commands) do replies[n] = cancel_item(command) end
promote(shard, events)

-- Apply.
apply(shard, events, due)

-- Reply.
return replies
