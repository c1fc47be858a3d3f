-- Number the orders of a batch of several events, each within its event, and gather their ids and
-- persons. Of one event alone, as in a rush, an order's place in the batch is its number.
local function number_orders(orders)
  local numbers, kinds, kind_of = {}, orders.kinds, orders.kind_of
  for n = 1, orders.count do
    local event = kinds[kind_of[n]].event
    local number = event.count + 1
    event.ids, event.user_ids = event.ids or {}, event.user_ids or {}
    event.count, numbers[n] = number, number
    event.ids[number] = ARGV[orders.ids + n]
    event.user_ids[number] = ARGV[orders.user_ids + n]
  end
  orders.numbers = numbers
end
