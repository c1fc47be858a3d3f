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
