-- Return the ticket that a command names, or nil and the refusal: its booking must be confirmed and
-- its place not cancelled. A row is kept from the first change on: `status version holder_id at_ms
-- gate by epoch seq`; status is valid, checked_in or undone, and at_ms and what follows are its
-- last change's.
local function ticket_of(command)
  local event = command.event
  local status, owner_id, items = string.match(event.booking_of[command.booking_id] or '',
    '^(%S+) %S+ %S+ %S+ %S+ (%S+) %S+ (%S+)')
  local lives
  if status then lives = ticket_lives(items, command.number) end
  if lives == nil or command.number < 1 then return nil, { 'NOT_FOUND' } end
  if status ~= 'confirmed' or not lives then return nil, { 'TICKET_CANCELLED' } end
  local w = {}
  for word in string.gmatch(event.ticket_of[command.ticket_id] or '', '%S+') do w[#w + 1] = word end
  return {
    ticket_id = command.ticket_id, booking_id = command.booking_id, number = command.number,
    owner_id = owner_id, status = w[1] or 'valid', version = tonumber(w[2] or 1),
    holder_id = w[3] or owner_id, at_ms = w[4] or '0', gate = w[5] or '-', by = w[6] or '-',
    epoch = w[7] or '0', seq = w[8] or '0',
  }
end
