-- Bookings, their items and their tickets, as they are kept.

-- Read items as they are kept, `tier_no:quantity:price_minor[:seat+seat],...`: their lines, how
-- many places, and as the JSON rows of a record.
local function lines_of(items)
  local lines, places, rows = {}, 0, {}
  for tier_no, quantity, price, seats in string.gmatch(items, '(%d+):(%d+):(%d+):?([^,/]*)') do
    if seats == '' then seats = nil end
    lines[#lines + 1] = { tier_no = tier_no, quantity = tonumber(quantity), seats = seats }
    places = places + quantity
    rows[#rows + 1] = '[' .. tier_no .. ',' .. quantity .. ',' .. price
      .. (seats and ',["' .. string.gsub(seats, '%+', '","') .. '"]' or '') .. ']'
  end
  return lines, places, '[' .. table.concat(rows, ',') .. ']'
end

-- Take the mark from a booking's row, if it has one: it stands before a row whose cuts name
-- tickets, which code that knows values of version 1 alone would misread (docs/DATA.md).
local function unmarked(row)
  return row and (string.gsub(row, '^=2 ', ''))
end

-- Read the rows of bookings, without their marks, in one call.
local function read_bookings(event, booking_ids)
  read_rows(event.bookings, booking_ids, event.booking_of)
  for _, booking_id in ipairs(booking_ids) do
    event.booking_of[booking_id] = unmarked(event.booking_of[booking_id])
  end
end

-- Read a booking's items word, `live` or `live/first/cut/cut...`: `first` are the items it was made
-- with and each cut is `epoch-seq-at_ms-items#tickets`, both with `x` for `:` so that only live
-- lines are lines. Returns the first items, and the cuts as text.
local function layout(items)
  local live, first, cuts = string.match(items, '^([^/]+)/?([^/]*)/?(.*)$')
  if first == '' then first = string.gsub(live, ':', 'x') end
  return first, cuts
end

-- List the tickets of a booking, numbered in the order of its first items: tier, price and perhaps
-- seat of each, and, if a cut took it, the booking's version before that (`cut_at`). A cut that
-- names no tickets is of version 1, and took the last ones of each tier.
local function tickets_of(items)
  local first, cuts = layout(items)
  local tickets, version = {}, 0
  for line in string.gmatch(first, '[^,]+') do
    local tier_no, quantity, price, seats = string.match(line, '^(%d+)x(%d+)x(%d+)x?(.*)$')
    local next_seat = string.gmatch(seats, '[^+]+')
    for _ = 1, tonumber(quantity) do
      tickets[#tickets + 1] = { tier_no = tier_no, price = price, seat = next_seat() }
    end
  end
  for cut in string.gmatch(cuts, '[^/]+') do
    version = version + 1
    local lines, names = string.match(cut, '^%d+%-%d+%-%d+%-([%dx,]+)#?([%d+]*)$')
    for number in string.gmatch(names, '%d+') do tickets[tonumber(number)].cut_at = version end
    for tier_no, quantity in string.gmatch(names == '' and lines or '', '(%d+)x(%d+)x%d+') do
      for number = #tickets, 1, -1 do
        local ticket = tickets[number]
        if tonumber(quantity) > 0 and ticket.tier_no == tier_no and not ticket.cut_at then
          ticket.cut_at, quantity = version, quantity - 1
        end
      end
    end
  end
  return tickets
end

-- Put tickets together as items as they are kept: those that `numbers`, a set, has, or, if
-- `is_rest`, the others that live.
local function items_of(tickets, numbers, is_rest)
  local order, line_of, texts = {}, {}, {}
  for number, ticket in ipairs(tickets) do
    local is_in = numbers[number]
    if is_rest then is_in = not is_in and not ticket.cut_at end
    if is_in then
      local line = line_of[ticket.tier_no]
      if not line then
        line = { quantity = 0, price = ticket.price, seats = {} }
        order[#order + 1], line_of[ticket.tier_no] = ticket.tier_no, line
      end
      line.quantity, line.seats[#line.seats + 1] = line.quantity + 1, ticket.seat
    end
  end
  for n, tier_no in ipairs(order) do
    local line = line_of[tier_no]
    texts[n] = tier_no .. ':' .. line.quantity .. ':' .. line.price
      .. (line.seats[1] and ':' .. table.concat(line.seats, '+') or '')
  end
  return table.concat(texts, ',')
end

-- Keep a booking in its present state: what later commands of the batch find, and `apply` writes.
local function keep_booking(event, booking_id, row)
  local count = event.new_count
  event.booking_of[booking_id] = row
  event.new_bookings[count + 1], event.new_bookings[count + 2] = booking_id, row
  event.new_count = count + 2
end

-- Keep a booking that has lost places: as `keep_booking`, and marked where its cuts name tickets.
local function keep_changed(event, booking_id, row)
  keep_booking(event, booking_id, row)
  if string.find(row, '#', 1, true) then event.new_bookings[event.new_count] = '=2 ' .. row end
end

-- Say what a repeated request is told beside its first reply: if the booking has changed since, its
-- status, its version and, if it ended, when; else nothing. Takes a row without its mark.
local function changed_since(row)
  local status, version, cancelled_at_ms =
    string.match(row, '^(%S+) (%S+) %S+ %S+ %S+ %S+ %S+ %S+ ?%S* ?%S* ?(%S*)$')
  if version == '1' then return nil end
  return { status, version, cancelled_at_ms ~= '' and cancelled_at_ms or nil }
end

-- End a confirmed booking, given as its row: places available again, the person's count down. Its
-- row keeps all it was and where it ended; `more` is what else its record says. Returns the seq of
-- the record.
local function end_booking(shard, event, booking_id, more)
  local version, rest = string.match(event.booking_of[booking_id], '^%S+ (%S+) (.+)$')
  local user_id, fingerprint, items = string.match(rest, '^%S+ %S+ %S+ (%S+) (%S+) (%S+)')
  local lines, places, rows = lines_of(items)
  move(event, lines, 'sold', 'available', user_id, -places)
  use_promo(event, fingerprint, -1)
  local seq = note(shard, event, 'cancelled', '"booking_id":"' .. booking_id .. '","user_id":"'
    .. user_id .. '","items":' .. rows .. more)
  local row = table.concat({ 'cancelled', tonumber(version) + 1, rest, shard.epoch, seq,
    shard.at_ms }, ' ')
  keep_changed(event, booking_id, row)
  return seq
end
