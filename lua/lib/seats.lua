-- Seats: read, chosen, checked and moved.

-- Read the seats of some sections (numbers as text), in one call, unless this batch has them.
-- A section's `status` has one letter for each seat, f(ree), h(eld), s(old) or b(locked), and a
-- slash after each row but the last; a seat's number is its place in it. `kinds` is empty, or says
-- at the same place what a seat is: accessible 1, restricted view 2, aisle 4, added up. A section
-- that the event does not have is false.
local function read_seats(event, section_nos)
  local sections, fields, missing = event.sections or {}, { 'version' }, {}
  event.sections = sections
  for _, section_no in ipairs(section_nos) do
    if sections[section_no] == nil then
      sections[section_no] = false
      missing[#missing + 1] = section_no
      for _, name in ipairs({ '.status', '.layout', '.kinds' }) do
        fields[#fields + 1] = section_no .. name
      end
    end
  end
  if #missing == 0 then return end
  local rows = redis.call('HMGET', event.seats, unpack(fields))
  event.seats_version = event.seats_version or tonumber(rows[1] or 0)
  for n, section_no in ipairs(missing) do
    local status, layout, kinds = rows[3 * n - 1], rows[3 * n], rows[3 * n + 1]
    sections[section_no] = status and layout and {
      status = status, tier_no = string.match(layout, '^%d+'), kinds = kinds or '',
    }
  end
end

-- Say what stands against giving the seats named in `seats` (`s<section>-<seat>+...`) to a line:
-- `unknown` or `taken`, and the first seat it is about. Nothing, if all are distinct, free, and of
-- the line's tier.
local function check_seats(event, line, seats)
  local section_nos, found, seen = {}, {}, {}
  for seat_id in string.gmatch(seats, '[^+]+') do
    local section_no, seat_no = string.match(seat_id, '^s([1-9]%d*)-([1-9]%d*)$')
    if not section_no or seen[seat_id] or #found >= line.quantity then
      return 'unknown', seat_id
    end
    seen[seat_id] = true
    section_nos[#section_nos + 1] = section_no
    found[#found + 1] = { seat_id, section_no, tonumber(seat_no) }
  end
  if #found ~= line.quantity then return 'unknown', '' end
  read_seats(event, section_nos)
  local taken
  for _, seat in ipairs(found) do
    local section = event.sections[seat[2]]
    local letter = section and string.sub(section.status, seat[3], seat[3]) or ''
    if letter == '' or letter == '/' or section.tier_no ~= line.tier_no then
      return 'unknown', seat[1]
    end
    if letter ~= 'f' then taken = taken or seat[1] end
  end
  if taken then return 'taken', taken end
end

-- Return what best available may choose from in a section: its status, with accessible seats kept
-- back. Kept with the section until its status changes.
local function open_seats(section)
  if section.kinds == '' then return section.status end
  if section.open_of ~= section.status then
    local pieces, from = {}, 1
    for at in string.gmatch(section.kinds, '()[1357]') do
      pieces[#pieces + 1] = string.sub(section.status, from, at - 1)
      from = at + 1
    end
    pieces[#pieces + 1] = string.sub(section.status, from)
    section.open_of, section.open = section.status, table.concat(pieces, '-')
  end
  return section.open
end

-- Find the best `count` neighbouring free seats of a section: in the first row, nearest its middle,
-- the lower numbers if two are as near. Returns the first seat of the best choice that leaves no
-- single seat alone, if there is one; and else the best of the others. With `kinds`, one of the
-- seats must be accessible. Each run of free seats is looked at once.
local function find_window(open, count, kinds)
  if not string.find(open, string.rep('f', count), 1, true) then return end
  local row_first, row_end, clean, clean_row, clean_far, rest, rest_row, rest_far = 1, 0
  for first, after in string.gmatch(open, '()f+()') do
    while first > row_end do
      row_first, row_end = row_end + 1, string.find(open, '/', row_end + 1, true) or #open + 1
    end
    if clean and clean_row ~= row_end then break end
    local is_in_question = after - first ~= count + 1 or not rest or rest_row == row_end
    if after - first >= count and is_in_question then
      local middle = row_first + row_end - count
      local near = math.max(first, math.min(math.floor(middle / 2), after - count))
      local from, to = math.max(first, near - 2), math.min(after - count, near + 2)
      if kinds then from, to = first, after - count end
      for at = from, to do
        local far, has = math.abs(2 * at - middle), not kinds
        if kinds then has = string.find(string.sub(kinds, at, at + count - 1), '[1357]') end
        if has and at ~= first + 1 and at ~= after - count - 1 then
          if not clean or far < clean_far then clean, clean_row, clean_far = at, row_end, far end
        elseif has and (not rest or (rest_row == row_end and far < rest_far)) then
          rest, rest_row, rest_far = at, row_end, far
        end
      end
    end
  end
  return clean, rest
end

-- Find the best `size` neighbours in the sections of a tier, in their order: a choice that leaves
-- nobody alone before all others. `marked` has what is chosen already; with `needs`, one of the
-- seats must be accessible. Returns the section and its first seat. What was found in a section is
-- kept until it changes, so that a batch looks through a hall once and not once per order.
local function best_window(event, section_nos, marked, size, needs)
  local what, rest_no, rest_first = size .. (needs and ' needs' or ''), nil, nil
  for _, section_no in ipairs(section_nos) do
    local section = marked[section_no] or event.sections[section_no]
    if section and not (needs and section.kinds == '') then
      local open = needs and section.status or open_seats(section)
      section.found = section.found or {}
      local found = section.found[what]
      if not found or found.open ~= open then
        local clean, rest = find_window(open, size, needs and section.kinds)
        found = { open = open, clean = clean, rest = rest }
        section.found[what] = found
      end
      if found.clean then return section_no, found.clean end
      if found.rest and not rest_no then rest_no, rest_first = section_no, found.rest end
    end
  end
  return rest_no, rest_first
end

-- Choose the best seats of a seated tier for a line, or none: all side by side, or, where the wish
-- says `split`, in pieces, each as large as there is. With `accessible`, one of the seats must be.
-- All sections of the tier are read in one call.
local function best_seats(event, tier, line)
  local wish, section_nos, marked, chosen = line.wish or '', {}, {}, {}
  for section_no in string.gmatch(tier.sections, '%d+') do
    section_nos[#section_nos + 1] = section_no
  end
  read_seats(event, section_nos)
  local needs, left = string.find(wish, 'accessible', 1, true), line.quantity
  local size = left
  while left > 0 do
    local section_no, first = best_window(event, section_nos, marked, size, needs)
    if section_no then
      for at = first, first + size - 1 do chosen[#chosen + 1] = 's' .. section_no .. '-' .. at end
      local section = marked[section_no] or event.sections[section_no]
      local status = section.status
      marked[section_no] = { kinds = section.kinds, status = string.sub(status, 1, first - 1)
        .. string.rep('-', size) .. string.sub(status, first + size) }
      left, needs = left - size, nil
      size = math.min(size, left)
    elseif size == 1 or not string.find(wish, 'split', 1, true) then
      return nil
    else
      size = size - 1
    end
  end
  return table.concat(chosen, '+')
end

-- Find the seats of an order's lines, or say why they cannot be had: those it names, else the best
-- available of a seated tier. Lines of tiers without seats pass. An overdue hold that stands in the
-- way is ended first, as `refuse` does.
local function seat_order(shard, order)
  local event, lines = order.event, order.lines
  for n = 1, #lines do
    local line = lines[n]
    local tier, wish = event.tiers[line.tier_no], line.wish
    local is_named = wish ~= nil and string.sub(wish, 1, 4) ~= 'best'
    if is_named or tier.sections then
      for try = 1, 2 do
        local status, what
        if is_named then
          local trouble
          trouble, what = check_seats(event, line, wish)
          status = trouble and (trouble == 'taken' and 'SEAT_TAKEN' or 'UNKNOWN_SEAT')
          line.seats = wish
        else
          line.seats = best_seats(event, tier, line)
          if not line.seats then status, what = 'NOT_TOGETHER', tier.available end
        end
        if not status then break end
        if try == 2 or tier.held == 0 or event.is_reclaimed or status == 'UNKNOWN_SEAT' then
          return { status, n, what }
        end
        event.is_reclaimed = true
        reclaim(shard, event, 50)
      end
    end
  end
end

-- Move the seats of a line along with its places; only tables change here. Each move of a line is
-- one version of the seat map, noted in a ring of 1024. A seat that is not where its line is means
-- that Redis has drifted: the script then ends before its first write.
local function move_seats(event, line, from, to)
  local letters = { available = 'f', held = 'h', sold = 's', blocked = 'b' }
  local section_nos, places = {}, {}
  for section_no, seat_no in string.gmatch(line.seats, 's(%d+)-(%d+)') do
    section_nos[#section_nos + 1] = section_no
    places[#places + 1] = tonumber(seat_no)
  end
  read_seats(event, section_nos)
  event.new_seats = event.new_seats or {}
  for n, section_no in ipairs(section_nos) do
    local section, at = event.sections[section_no], places[n]
    local status = section and section.status or ''
    if string.sub(status, at, at) ~= letters[from] then
      error('DRIFT seat s' .. section_no .. '-' .. at .. ' of ' .. event.event_id)
    end
    section.status = string.sub(status, 1, at - 1) .. letters[to] .. string.sub(status, at + 1)
    event.new_seats[section_no .. '.status'] = section.status
  end
  event.seats_version = event.seats_version + 1
  local version = string.format('%.0f', event.seats_version)
  event.new_seats.version = version
  event.new_seats['log.' .. event.seats_version % 1024] =
    version .. ' ' .. letters[to] .. ' ' .. line.seats
end

-- Move named seats between `available` and `blocked`, or say why not. Seats that are there already
-- stay; if all are, nothing is noted. The counters `blocked`, which a sale never reads, are read
-- here and written by the caller, who gets their HSET words.
local function shift_seats(shard, event, seat_ids, from, to)
  local by_tier, tier_nos = {}, {}
  for n, seat_id in ipairs(seat_ids) do
    local section_no, seat_no = string.match(seat_id, '^s([1-9]%d*)-([1-9]%d*)$')
    if section_no then read_seats(event, { section_no }) end
    local section = event.sections and event.sections[section_no or '']
    local at = tonumber(seat_no)
    local letter = section and string.sub(section.status, at, at) or ''
    if letter == '' or letter == '/' then return { 'UNKNOWN_SEAT', n, seat_id } end
    if letter ~= 'f' and letter ~= 'b' then return { 'SEAT_TAKEN', n, seat_id } end
    if (letter == 'f') == (from == 'available') then
      if not by_tier[section.tier_no] then
        by_tier[section.tier_no] = {}
        tier_nos[#tier_nos + 1] = section.tier_no
      end
      table.insert(by_tier[section.tier_no], seat_id)
    end
  end
  local words, rows = {}, {}
  for n, tier_no in ipairs(tier_nos) do
    local ids = by_tier[tier_no]
    read_stock(event, { [tier_no] = true })
    local tier = event.tiers[tier_no]
    tier.blocked = tonumber(redis.call('HGET', event.stock, tier_no .. '.blocked'))
    local line = { tier_no = tier_no, quantity = #ids, seats = table.concat(ids, '+') }
    move(event, { line }, from, to, '', 0)
    words[#words + 1], words[#words + 2] = tier_no .. '.blocked', tier.blocked
    rows[n] = '[' .. tier_no .. ',["' .. table.concat(ids, '","') .. '"]]'
  end
  return nil, words, '[' .. table.concat(rows, ',') .. ']'
end
