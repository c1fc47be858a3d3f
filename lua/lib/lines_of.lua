-- Read items as they are kept, `tier_no:quantity:price_minor[:seat+seat],...`: their lines, how
-- many places, and as the JSON rows of a record.
local function lines_of(items)
  local lines, places, rows = {}, 0, {}
  for tier_no, quantity, price, seats in string.gmatch(items, '(%d+):(%d+):(%d+):?([^,/]*)') do
    if seats == '' then seats = nil end
    lines[#lines + 1] = { tier_no = tier_no, quantity = tonumber(quantity), seats = seats }
    places = places + quantity
    rows[#rows + 1] = '[' .. tier_no .. ',' .. quantity .. ',' .. price
      .. (seats and ',["' .. string.gsub(seats, '%+', '","') .. '"]' or '') .. ']'
  end
  return lines, places, '[' .. table.concat(rows, ',') .. ']'
end
