-- Put prices on an order's lines: items as they are kept, and as the JSON rows of a record. One
-- general line, which most orders are, needs no table.
local function price(order)
  local lines, tiers = order.lines, order.event.tiers
  if #lines == 1 and not lines[1].seats and not order.promo then
    local line = lines[1]
    local tier_no, word, each = line.tier_no, line.word, tiers[line.tier_no].price_text
    return tier_no .. ':' .. word .. ':' .. each,
      '[[' .. tier_no .. ',' .. word .. ',' .. each .. ']]'
  end
  local texts, rows = {}, {}
  for n = 1, #lines do
    local line, each = lines[n], nil
    local tier_no, seats = line.tier_no, line.seats
    if order.promo then each = string.format('%.0f', discounted(order, tier_no))
    else each = tiers[tier_no].price_text end
    if seats then
      texts[n] = tier_no .. ':' .. line.word .. ':' .. each .. ':' .. seats
      rows[n] = '[' .. tier_no .. ',' .. line.word .. ',' .. each
        .. ',["' .. string.gsub(seats, '%+', '","') .. '"]]'
    else
      texts[n] = tier_no .. ':' .. line.word .. ':' .. each
      rows[n] = '[' .. tier_no .. ',' .. line.word .. ',' .. each .. ']'
    end
  end
  return table.concat(texts, ','), '[' .. table.concat(rows, ',') .. ']'
end
