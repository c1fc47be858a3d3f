-- The price of one place in minor units, less what the order's promo code takes off; the discount
-- is rounded down, and no price is below 0.
local function discounted(order, tier_no)
  local price, promo = order.event.tiers[tier_no].price_minor, order.promo
  if not promo or not promo_fits(promo, tier_no) then return price end
  return math.max(0, price - math.floor(price * promo.percent / 100) - promo.amount_minor)
end
