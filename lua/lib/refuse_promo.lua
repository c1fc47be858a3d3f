-- Say why the promo code of an order, if it has one, cannot be used. The last use may be one of a
-- hold that is overdue, so those are ended first.
local function refuse_promo(shard, order)
  local event, code = order.event, order.code
  if not code then return nil end
  local promo, fits = find_promo(event, code), false
  for _, line in ipairs(order.lines) do
    fits = fits or (promo and promo_fits(promo, line.tier_no))
  end
  if not fits then return { 'PROMO_UNKNOWN' } end
  if promo.used >= promo.uses_max and not event.is_reclaimed then
    event.is_reclaimed = true
    reclaim(shard, event, 50)
    promo = find_promo(event, code)
  end
  if promo.used >= promo.uses_max then return { 'PROMO_EXHAUSTED', promo.uses_max } end
  order.promo = promo
end
