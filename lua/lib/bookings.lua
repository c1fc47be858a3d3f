-- Bookings and their items, as they are kept.

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

-- Read a booking's items word, `live` or `live/first/cut/cut...`: `first` are the items it was made
-- with and each cut is `epoch-seq-at_ms-items`, both with `x` for `:` so that only live lines are
-- lines. Returns live quantities by tier_no, the first items, and the cuts as text.
local function layout(items)
  local live_text, first, cuts = string.match(items, '^([^/]+)/?([^/]*)/?(.*)$')
  local live = {}
  for tier_no, quantity in string.gmatch(live_text, '(%d+):(%d+):%d+') do
    live[tier_no] = tonumber(quantity)
  end
  if first == '' then first = string.gsub(live_text, ':', 'x') end
  return live, first, cuts
end

-- Keep a booking in its present state: what later commands of the batch find, and `apply` writes.
local function keep_booking(event, booking_id, row)
  local count = event.new_count
  event.booking_of[booking_id] = row
  event.new_bookings[count + 1], event.new_bookings[count + 2] = booking_id, row
  event.new_count = count + 2
end

-- End a confirmed booking, given as its row: places available again, the person's count down. Its
-- row keeps all it was and where it ended. Returns the seq of the record.
local function end_booking(shard, event, booking_id, reason)
  local version, rest = string.match(event.booking_of[booking_id], '^%S+ (%S+) (.+)$')
  local user_id, fingerprint, items = string.match(rest, '^%S+ %S+ %S+ (%S+) (%S+) (%S+)')
  local lines, places, rows = lines_of(items)
  move(event, lines, 'sold', 'available', user_id, -places)
  use_promo(event, fingerprint, -1)
  local seq = note(shard, event, 'cancelled', '"booking_id":"' .. booking_id .. '","user_id":"'
    .. user_id .. '","items":' .. rows .. reason)
  local row = table.concat({ 'cancelled', tonumber(version) + 1, rest, shard.epoch, seq,
    shard.at_ms }, ' ')
  keep_booking(event, booking_id, row)
  return seq
end
