-- Put prices on an order's lines: items as they are kept, and as the JSON rows of a record.
local function price(order)
  local texts, rows = {}, {}
  for n, line in ipairs(order.lines) do
    local each = string.format('%.0f', discounted(order, line.tier_no))
    local seats = line.seats
    texts[n] = line.tier_no .. ':' .. line.quantity .. ':' .. each .. (seats and ':' .. seats or '')
    rows[n] = '[' .. line.tier_no .. ',' .. line.quantity .. ',' .. each
      .. (seats and ',["' .. string.gsub(seats, '%+', '","') .. '"]' or '') .. ']'
  end
  return table.concat(texts, ','), '[' .. table.concat(rows, ',') .. ']'
end
