-- Tell whether an event was cancelled by its organizer, by one read per event and call.
local function is_cancelled(event)
  if event.cancelled_at_ms == nil then
    event.cancelled_at_ms = redis.call('HGET', event.stock, 'cancelled_at_ms')
  end
  return event.cancelled_at_ms and true
end
