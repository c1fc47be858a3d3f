-- Find of each kind of order of a batch the tier if it can be taken without a look at rules: one
-- line of a tier that has none, no seats and no list, in an open sale, without a promo code. Notes
-- the items as they are kept.
local function find_plain(orders)
  for i = 1, orders.kind_count do
    local asked = orders.kinds[47 + i]
    local line, event = asked.lines[1], asked.event
    local tier = event.tiers[line.tier_no]
    if event.is_open and tier and tier.is_plain and not asked.lines[2] and not line.wish
      and not asked.code and line.quantity <= tier.order_max then
      asked.plain_tier = tier
      asked.items = line.tier_no .. ':' .. line.word .. ':' .. tier.price_text
      asked.row_tail = ' ' .. asked.items
    end
  end
end
