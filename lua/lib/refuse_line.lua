-- Say why the rules of its tier forbid a line, or nothing if they do not: the tier's own sale
-- window, and how many places an order must and may have. 0 is no rule. Without `n`
-- the line is not named.
local function refuse_line(shard, tier, quantity, n)
  if shard.at_ms < tier.opens_at_ms then return { 'SALE_NOT_OPEN', tier.opens_at_ms, n } end
  if tier.closes_at_ms > 0 and shard.at_ms >= tier.closes_at_ms then
    return { 'SALE_CLOSED', tier.closes_at_ms, n }
  end
  if quantity > tier.order_max then return { 'LIMIT_REACHED', 'order', tier.order_max, 0 } end
  if quantity < tier.order_min then
    return { 'LIMIT_REACHED', 'order_min', tier.order_min, 0, n }
  end
end
