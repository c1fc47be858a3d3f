-- Why an order cannot be had.

-- Say that the sale of an event, or of a tier, is over: because of its own end, or since the event
-- is over. With `n` the line is named.
local function sale_over(shard, sale, n)
  if sale.ends_at_ms and shard.at_ms >= sale.ends_at_ms then
    return { 'EVENT_ENDED', sale.ends_at_ms, n }
  end
  return { 'SALE_CLOSED', sale.closes_at_ms, n }
end

-- Say that an event is not on sale now, or nothing if it is.
local function refuse_sale(shard, event)
  if not event.person_max then return { 'NOT_ON_SALE' } end
  if shard.at_ms >= event.opens_at_ms and shard.at_ms < event.closes_at_ms then return nil end
  if is_cancelled(event) then return { 'EVENT_CANCELLED' } end
  if shard.at_ms < event.opens_at_ms then return { 'SALE_NOT_OPEN', event.opens_at_ms } end
  return sale_over(shard, event)
end

-- Say that a tier of an event that is on sale is not sold now, or nothing if it is: it may have a
-- sale window of its own. Without `n` the line is not named.
local function refuse_window(shard, tier, n)
  if shard.at_ms < tier.opens_at_ms then return { 'SALE_NOT_OPEN', tier.opens_at_ms, n } end
  if tier.closes_at_ms > 0 and shard.at_ms >= tier.closes_at_ms then
    return sale_over(shard, tier, n)
  end
end

-- Say why the rules of its tier forbid a line, or nothing if they do not: the tier's own sale
-- window, and how many places an order must and may have. 0 is no rule. Without `n`
-- the line is not named.
local function refuse_line(shard, tier, quantity, n)
  local refusal = refuse_window(shard, tier, n)
  if refusal then return refusal end
  if quantity > tier.order_max then return { 'LIMIT_REACHED', 'order', tier.order_max, 0 } end
  if quantity < tier.order_min then
    return { 'LIMIT_REACHED', 'order_min', tier.order_min, 0, n }
  end
end

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

-- Tell whether an order is sold by the box office beyond what one person may have: its fingerprint
-- says so, which holds and bookings keep. Asked of those alone that would have too much.
local function is_beyond(order)
  return string.find(order.fingerprint, '!', 1, true)
end

-- Say why the rules of the sale forbid an order, whether or not there are places: the first reason
-- that applies, in the order of the header's Returns. Counted loops, since this runs for every
-- order of a rush.
local function refuse_rules(shard, order)
  local event, lines = order.event, order.lines
  local tiers, count = event.tiers, #lines
  if event.is_damaged then return { 'EVENT_DAMAGED' } end
  local refusal = refuse_sale(shard, event)
  if refusal then return refusal end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  for n = 1, count do
    local tier_no = lines[n].tier_no
    if not tiers[tier_no] or is_locked(event, tier_no, order.fingerprint) then
      return { 'UNKNOWN_TIER', n }
    end
  end
  for n = 1, count do
    local tier, quantity = tiers[lines[n].tier_no], lines[n].quantity
    refusal = (tier.has_rules or quantity > tier.order_max)
      and refuse_line(shard, tier, quantity, n)
    if refusal then return refusal end
    local left, without_holds = left_for(event, lines, n)
    if quantity > left and without_holds > left and not event.is_reclaimed then
      event.is_reclaimed = true
      reclaim(shard, event, 50)
    end
  end
  local taken = tonumber(event.taken[order.user_id] or 0)
  if taken + order.places > event.person_max and not is_beyond(order) then
    return { 'LIMIT_REACHED', 'person', event.person_max, taken }
  end
  for n = 1, count do
    local tier, quantity = tiers[lines[n].tier_no], lines[n].quantity
    local had = tier.person_max > 0 and tier_taken(event, lines[n].tier_no, order.user_id)
    if had and had + quantity > tier.person_max and not is_beyond(order) then
      return { 'LIMIT_REACHED', 'tier', tier.person_max, had, n }
    end
  end
  if order.code then return refuse_promo(shard, order) end
end

-- Say why an order cannot be had, or nothing if it can: the rules, and then what is left.
local function refuse(shard, order)
  local refusal = refuse_rules(shard, order)
  if refusal then return refusal end
  local event, lines = order.event, order.lines
  local tiers, count = event.tiers, #lines
  for n = 1, count do
    local left, without_holds = left_for(event, lines, n)
    if lines[n].quantity > without_holds then return { 'SOLD_OUT', n, left } end
  end
  for n = 1, count do
    local tier, left = tiers[lines[n].tier_no], left_for(event, lines, n)
    if lines[n].quantity > left then
      return { 'ALL_HELD', n, left, returns_in(shard, event, lines[n].tier_no) }
    end
    -- What is free belongs to those who wait: nobody overtakes the list (I9).
    if is_kept(shard, event, tier) then return { 'KEPT_FOR_WAITLIST', n, left } end
  end
end
