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
