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
