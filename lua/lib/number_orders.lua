-- Number the orders of a batch of several events, each within its event.
local function number_orders(orders)
  local numbers = orders.numbers
  for n = 1, orders.count do
    local event = orders.asked_of[n].event
    local number = event.count + 1
    event.count, numbers[n] = number, number
    event.ids[number], event.user_ids[number] = orders.ids[n], orders.user_ids[n]
  end
end
