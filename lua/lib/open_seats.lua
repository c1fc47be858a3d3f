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
