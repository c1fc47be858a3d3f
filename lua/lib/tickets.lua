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
    read_bookings(event, event.booking_ids)
  end
end

-- Tell whether ticket `number` (from 1, in the order of the first items) of a booking lives: true,
-- false if its place was given back, nil if there never was one.
local function ticket_lives(items, number)
  local ticket = tickets_of(items)[number]
  if not ticket then return nil end
  return not ticket.cut_at
end

-- Read what became of the tickets of some bookings, whose rows have been read, in one call.
local function read_tickets(event, booking_ids)
  local ids = {}
  for _, booking_id in ipairs(booking_ids) do
    local items = string.match(event.booking_of[booking_id] or '',
      '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%S+)')
    for number = 1, items and #tickets_of(items) or 0 do
      ids[#ids + 1] = 'tkt_' .. string.sub(booking_id, 4) .. '_' .. number
    end
  end
  event.ticket_of = {}
  read_rows(event.tickets, ids, event.ticket_of)
end

-- List the tickets of a booking that was read with `read_tickets`, as `tickets_of` does, each with
-- its id, and, where that is so, who else than its buyer has it, and when and where somebody came
-- in on it. Returns as well the numbers of those that live, as a set, and how many they are.
local function known_tickets(event, booking_id)
  local user_id, items = string.match(event.booking_of[booking_id],
    '^%S+ %S+ %S+ %S+ %S+ (%S+) %S+ (%S+)')
  local tickets, numbers, count = tickets_of(items), {}, 0
  for number, ticket in ipairs(tickets) do
    ticket.ticket_id = 'tkt_' .. string.sub(booking_id, 4) .. '_' .. number
    local status, holder_id, at_ms, gate = string.match(event.ticket_of[ticket.ticket_id] or '',
      '^(%S+) %S+ (%S+) (%S+) (%S+)')
    if status == 'checked_in' then ticket.in_at_ms, ticket.gate = at_ms, gate end
    if holder_id ~= user_id then ticket.holder_id = holder_id end
    if not ticket.cut_at then numbers[number], count = true, count + 1 end
  end
  return tickets, numbers, count
end

-- Return the event's policy of transfers: `none`, or whose a ticket is that was given away, its
-- `holder`'s or still its `buyer`'s, who may cancel it. One read per event and call.
local function transfers_of(event)
  event.transfers = event.transfers or redis.call('HGET', event.stock, 'transfers') or 'holder'
  return event.transfers
end

-- Say why some tickets of a booking, given as a set of numbers, cannot be given back, or nothing if
-- they can: somebody is in on one, or one belongs to whom it was given.
local function refuse_tickets(event, tickets, numbers)
  for number, ticket in ipairs(tickets) do
    if numbers[number] and ticket.in_at_ms then
      return { 'ALREADY_CHECKED_IN', ticket.in_at_ms, ticket.gate, ticket.ticket_id }
    end
  end
  for number, ticket in ipairs(tickets) do
    if numbers[number] and ticket.holder_id and transfers_of(event) ~= 'buyer' then
      return { 'TICKET_TRANSFERRED', ticket.ticket_id }
    end
  end
end

-- Write what a record says of others than the buyer who had tickets that end with it, so that they
-- can be told: JSON that follows in the record, or nothing. Version 1 cannot say it.
local function holders_text(tickets, numbers)
  local rows = {}
  for number, ticket in ipairs(tickets) do
    if numbers[number] and ticket.holder_id then
      rows[#rows + 1] = '[' .. number .. ',"' .. ticket.holder_id .. '"]'
    end
  end
  if not rows[1] or records_version() < 2 then return '' end
  return ',"holders":[' .. table.concat(rows, ',') .. ']'
end

-- Return the ticket that a command names, or nil and the refusal: its booking must be confirmed,
-- its place not cancelled, and its event not called off. A row is kept from the first change on:
-- `status version holder_id at_ms gate by epoch seq scans`; status is valid, checked_in or undone,
-- and at_ms and what follows are its last change's, but for the scans that it remembers
-- (`scan_word`), which may be missing.
local function ticket_of(command)
  local event = command.event
  local status, owner_id, items = string.match(event.booking_of[command.booking_id] or '',
    '^(%S+) %S+ %S+ %S+ %S+ (%S+) %S+ (%S+)')
  local lives
  if status then lives = ticket_lives(items, command.number) end
  if lives == nil or command.number < 1 then return nil, { 'NOT_FOUND' } end
  if status ~= 'confirmed' or not lives then return nil, { 'TICKET_CANCELLED' } end
  if is_cancelled(event) then return nil, { 'EVENT_CANCELLED' } end
  local w = {}
  for word in string.gmatch(event.ticket_of[command.ticket_id] or '', '%S+') do w[#w + 1] = word end
  return {
    ticket_id = command.ticket_id, booking_id = command.booking_id, number = command.number,
    owner_id = owner_id, status = w[1] or 'valid', version = tonumber(w[2] or 1),
    holder_id = w[3] or owner_id, at_ms = w[4] or '0', gate = w[5] or '-', by = w[6] or '-',
    epoch = w[7] or '0', seq = w[8] or '0', scans = records_version() > 1 and w[9] or '',
  }
end

-- Bind the scan that a command of a gate is: its id, when it was made, and where. Without an id
-- (-), and under version 1, a scan is known by nothing but what it does.
local function bind_scan(command)
  command.gate, command.by = command[4], command[5]
  if command[6] ~= '-' and records_version() > 1 then
    command.scan_id, command.scanned_at_ms = command[6], command[7]
  end
end

-- Return what a ticket answered when this very scan came before, or nothing if it is new to it:
-- `what` is in or undone. The same id at another gate, time or verb is a mistake of who made it.
-- Of a scan that was too late its words are returned, behind nil (`scan_word`).
local function answered(command, what)
  local row = command.scan_id and command.event.ticket_of[command.ticket_id] or ''
  local scans = string.match(row, '^' .. string.rep('%S+ ', 8) .. '(%S+)$')
  for scan in string.gmatch(scans or '', '[^,]+') do
    local w = {}
    for word in string.gmatch(scan, '[^:]+') do w[#w + 1] = word end
    if w[1] == command.scan_id then
      if (w[2] == 'undone') ~= (what == 'undone') or w[3] ~= command.scanned_at_ms
        or w[4] ~= command.gate then
        return { 'IDEMPOTENCY_KEY_REUSED' }
      end
      if w[2] == 'refused' then return nil, w end
      return { 'REPLAYED', w[5], w[6], w[7] }
    end
  end
end

-- Return how a ticket remembers a scan with the next record: `id:what:scanned_at_ms:gate:epoch:seq:
-- at_ms`, and of one that was refused `:at_ms:gate` of the check-in that it came after. Nothing if
-- it has no id, or the ticket remembers 16 already: whoever fills that up is answered no less.
local function scan_word(shard, ticket, command, what)
  local _, count = string.gsub(ticket.scans, '[^,]+', '')
  if not command.scan_id or count >= 16 then return nil end
  local word = table.concat({ command.scan_id, what, command.scanned_at_ms, command.gate,
    shard.epoch, string.format('%.0f', shard.seq + 1), shard.at_text }, ':')
  if what == 'refused' then word = word .. ':' .. ticket.at_ms .. ':' .. ticket.gate end
  return word
end

-- Note a record about a ticket, and keep it in the row that it has from then on. The record has the
-- whole ticket, so that a follower needs no earlier one; of a scan, also what the gate said of it.
local function note_ticket(shard, event, ticket, kind, gate, by, scan)
  local body = '"ticket_id":"' .. ticket.ticket_id .. '","booking_id":"' .. ticket.booking_id
    .. '","number":' .. ticket.number .. ',"ticket_version":' .. ticket.version
    .. ',"holder_id":"' .. ticket.holder_id .. '","gate":"' .. gate .. '","by":"' .. by .. '"'
  if scan and scan.scan_id then
    body = body .. ',"scan_id":"' .. scan.scan_id .. '","scanned_at_ms":' .. scan.scanned_at_ms
  end
  if ticket.scans ~= '' then body = body .. ',"scans":"' .. ticket.scans .. '"' end
  return note(shard, event, kind, body)
end

-- Keep the row of a ticket as it is now; the counterpart of `ticket_of`.
local function write_ticket(event, ticket)
  local row = table.concat({ ticket.status, ticket.version, ticket.holder_id, ticket.at_ms,
    ticket.gate, ticket.by, ticket.epoch, ticket.seq }, ' ')
  if ticket.scans ~= '' then row = row .. ' ' .. ticket.scans end
  event.ticket_of[ticket.ticket_id], event.new_tickets[ticket.ticket_id] = row, row
end

-- Note a change of a ticket as record `kind`, and keep the ticket as it is now. `scan` is the
-- command of a gate that made the change, and `what` it was.
local function keep_ticket(shard, event, ticket, kind, scan, what)
  local word = scan and scan_word(shard, ticket, scan, what)
  if word then ticket.scans = ticket.scans .. (ticket.scans ~= '' and ',' or '') .. word end
  local seq = note_ticket(shard, event, ticket, kind, ticket.gate, ticket.by, scan)
  ticket.at_ms, ticket.epoch, ticket.seq = shard.at_text, shard.epoch, seq
  write_ticket(event, ticket)
  return seq
end

-- Note that a scan was refused since somebody is in on the ticket, whose state it leaves as it is:
-- two gates' scans of one ticket both stay on record. Nothing if it is not to be remembered.
local function keep_refused_scan(shard, scan, ticket)
  local word = scan_word(shard, ticket, scan, 'refused')
  if not word then return nil end
  ticket.scans = ticket.scans .. (ticket.scans ~= '' and ',' or '') .. word
  local seq = note_ticket(shard, scan.event, ticket, 'scan_refused', scan.gate, scan.by, scan)
  write_ticket(scan.event, ticket)
  return seq
end
