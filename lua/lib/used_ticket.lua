-- Return the refusal if a ticket that a cut would cancel is checked in: of each tier the last ones.
local function used_ticket(event, booking_id, items, cut)
  local live, first = layout(items)
  local before = 0
  for tier_no, quantity in string.gmatch(first, '(%d+)x(%d+)x%d+') do
    for _, line in ipairs(cut) do
      if line.tier_no == tier_no then
        for number = before + live[tier_no] - line.quantity + 1, before + live[tier_no] do
          local row = event.ticket_of['tkt_' .. string.sub(booking_id, 4) .. '_' .. number] or ''
          local at_ms, gate = string.match(row, '^checked_in %S+ %S+ (%S+) (%S+)')
          if at_ms then return { 'ALREADY_CHECKED_IN', at_ms, gate } end
        end
      end
    end
    before = before + quantity
  end
end
