-- Read some waitlist entries, in one call, unless this batch has them already.
local function find_entries(event, ids)
  local missing, found = {}, {}
  for _, id in ipairs(ids) do
    if event.entry_of[id] == nil then missing[#missing + 1] = id end
  end
  read_rows(event.entries, missing, event.entry_of)
  for n, id in ipairs(ids) do
    local row = event.entry_of[id]
    found[n] = row and parse_entry(id, row)
    if row then found[n].is_waiting = found[n].status == 'waiting' end
  end
  return found
end
