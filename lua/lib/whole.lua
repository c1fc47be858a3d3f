-- Whether an event has all its keys: an eviction policy, or a hand, may have taken one.

-- Tell whether anything is left of an event that has no stock: a mark in one of its hashes.
local function has_mark(event)
  for _, key in ipairs({ event.bookings, event.persons, event.holds, event.seats, event.entries,
    event.tickets, event.promos }) do
    if redis.call('HEXISTS', key, '!') == 1 then return true end
  end
  return false
end

-- Note of each event whether it has lost a key: it is `is_damaged` then, and nothing of it is
-- decided until it is rebuilt. Each of its keys has a row `!` from the publishing on, so that all
-- of them are there however little they hold, and one that is missing is lost. An event of older
-- code has no `!` in its stock, and keys of it may well be missing.
local function look(events)
  for _, event in ipairs(events) do
    local count = redis.call('EXISTS', event.stock, event.bookings, event.persons, event.holds,
      event.deadlines, event.ended, event.seats, event.waitlist, event.entries, event.tickets,
      event.promos)
    event.is_looked_at = true
    if count < 11 and not event.is_damaged then
      local stock = redis.call('HMGET', event.stock, 'fingerprint', '!')
      if stock[1] then event.is_damaged = stock[2] and true
      else event.is_damaged = has_mark(event) end
    end
  end
end
