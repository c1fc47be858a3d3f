-- Tell whether ticket `number` (from 1, in the order of the first items) of a booking lives: true,
-- false if its place was cancelled, nil if there never was one. Of each tier the last tickets are
-- cancelled first, so that the items alone decide.
local function ticket_lives(items, number)
  local live, first = layout(items)
  local before = 0
  for tier_no, quantity in string.gmatch(first, '(%d+)x(%d+)x%d+') do
    if number <= before + quantity then
      return number - before <= (live[tier_no] or 0)
    end
    before = before + quantity
  end
  return nil
end
