-- Find what was read for an order: note what its person has, unless the batch has changed it, and
-- return the row of the order itself, as the batch has left it.
local function find_rows(order, row_of)
  local event, user_id, number = order.event, order.user_id, order.number
  if event.taken[user_id] == nil then event.taken[user_id] = event.persons_read[number] end
  return row_of[order.id] or event.rows[number]
end
