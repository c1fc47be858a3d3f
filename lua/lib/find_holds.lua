-- Read the holds and the bookings that commands name, `command[1]` being a hold_id and `command[2]`
-- its owner. A hold and the booking it becomes share all but the prefix of their ids.
local function find_holds(events, commands)
  for _, event in ipairs(events) do event.hold_ids, event.booking_ids = {}, {} end
  for _, command in ipairs(commands) do
    local event = command.event
    command.hold_id, command.user_id = command[1], command[2]
    command.booking_id = 'bk_' .. (string.match(command.hold_id, '_(.*)') or '')
    event.hold_ids[#event.hold_ids + 1] = command.hold_id
    event.booking_ids[#event.booking_ids + 1] = command.booking_id
  end
  for _, event in ipairs(events) do
    read_rows(event.holds, event.hold_ids, event.hold_of)
    read_rows(event.bookings, event.booking_ids, event.booking_of)
  end
end
