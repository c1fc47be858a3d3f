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
