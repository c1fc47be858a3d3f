-- Bind the events of a batch: eleven keys each from KEYS `first` on, 4 if it is not told, their ids
-- from ARGV 2 on. What was read of an event, and what `apply` will write, is kept in its table.
local function bind_events(first)
  local events = {}
  first = first or 4
  for i = 1, (#KEYS - first + 1) / 11 do
    local k = first + 11 * (i - 1)
    events[i] = {
      event_id = ARGV[1 + i],
      stock = KEYS[k], bookings = KEYS[k + 1], persons = KEYS[k + 2],
      holds = KEYS[k + 3], deadlines = KEYS[k + 4], ended = KEYS[k + 5],
      seats = KEYS[k + 6], waitlist = KEYS[k + 7], entries = KEYS[k + 8],
      tickets = KEYS[k + 9], promos = KEYS[k + 10],
      tiers = {}, booking_of = {}, hold_of = {}, taken = {},
      new_bookings = {}, new_holds = {}, new_deadlines = {}, old_deadlines = {}, new_ended = {},
      entry_of = {}, new_entries = {}, is_waiting = {}, new_stock = {}, wake_at_ms = math.huge,
      changed_persons = {}, changed_count = 0, new_count = 0, heads = {},
      plain_bookings = {}, plain_persons = {}, plain_words = 0,
    }
  end
  return events
end
