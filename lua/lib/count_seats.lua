-- Count the seats of the loaded sections, and give each seated tier the list of its sections.
-- Returns the sections as the JSON that follows in the record; nil if one is not loaded, is of no
-- tier, or a tier's capacity is not the number of its seats.
local function count_seats(seats, tiers, section_count)
  if section_count == 0 then return '' end
  local fields, rows, counts = {}, {}, {}
  for n = 1, section_count do
    fields[2 * n - 1], fields[2 * n] = n .. '.layout', n .. '.status'
  end
  local loaded = redis.call('HMGET', seats, unpack(fields))
  for n = 1, section_count do
    local layout, status = loaded[2 * n - 1], loaded[2 * n]
    local tier_no = layout and tonumber(string.match(layout, '^%d+'))
    local tier = tiers[tier_no or 0]
    if not tier or not status then return nil end
    local _, count = string.gsub(status, 'f', 'f')
    tier.sections = tier.sections and tier.sections .. ',' .. n or tostring(n)
    counts[tier_no] = (counts[tier_no] or 0) + count
    rows[n] = '[' .. n .. ',' .. tier_no .. ',' .. count .. ']'
  end
  for tier_no, count in pairs(counts) do
    if tonumber(tiers[tier_no].capacity) ~= count then return nil end
  end
  return ',"sections":[' .. table.concat(rows, ',') .. ']'
end
