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
