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
