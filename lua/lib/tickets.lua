-- Tickets at the gate.

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

-- Note a change of a ticket as record `kind`, and keep the ticket as it is now; the counterpart of
-- `ticket_of`. The record has the whole ticket, so that a follower needs no earlier one.
local function keep_ticket(shard, event, ticket, kind)
  local seq = note(shard, event, kind, '"ticket_id":"' .. ticket.ticket_id
    .. '","booking_id":"' .. ticket.booking_id .. '","number":' .. ticket.number
    .. ',"ticket_version":' .. ticket.version .. ',"holder_id":"' .. ticket.holder_id
    .. '","gate":"' .. ticket.gate .. '","by":"' .. ticket.by .. '"')
  local row = table.concat({ ticket.status, ticket.version, ticket.holder_id, shard.at_ms,
    ticket.gate, ticket.by, shard.epoch, seq }, ' ')
  event.ticket_of[ticket.ticket_id], event.new_tickets[ticket.ticket_id] = row, row
  return seq
end
