-- Read the bookings and the tickets that commands name: `command[1]` is a booking_id, and
-- `command[2]` the number of one of its tickets. A ticket's id is that of its booking and number.
local function find_tickets(events, commands)
  for _, event in ipairs(events) do
    event.ticket_ids, event.booking_ids = {}, {}
    event.ticket_of, event.new_tickets = {}, {}
  end
  for _, command in ipairs(commands) do
    local event = command.event
    command.booking_id, command.number = command[1], tonumber(command[2]) or 0
    command.ticket_id = 'tkt_' .. string.sub(command[1], 4) .. '_' .. command[2]
    event.ticket_ids[#event.ticket_ids + 1] = command.ticket_id
    event.booking_ids[#event.booking_ids + 1] = command.booking_id
  end
  for _, event in ipairs(events) do
    read_rows(event.tickets, event.ticket_ids, event.ticket_of)
    read_rows(event.bookings, event.booking_ids, event.booking_of)
  end
end
