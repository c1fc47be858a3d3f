-- Keep a booking in its present state: what later commands of the batch find, and `apply` writes.
local function keep_booking(event, booking_id, row)
  local count = event.new_count
  event.booking_of[booking_id] = row
  event.new_bookings[count + 1], event.new_bookings[count + 2] = booking_id, row
  event.new_count = count + 2
end
