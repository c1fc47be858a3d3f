-- Say why an order cannot be had, or nothing if it can. The first reason that applies, in the
-- order of the header's Returns. Counted loops, since this runs for every order of a rush.
local function refuse(shard, order)
  local event, lines = order.event, order.lines
  local tiers, count = event.tiers, #lines
  if not event.person_max then return { 'NOT_ON_SALE' } end
  if shard.at_ms < event.opens_at_ms then return { 'SALE_NOT_OPEN', event.opens_at_ms } end
  if shard.at_ms >= event.closes_at_ms then return { 'SALE_CLOSED', event.closes_at_ms } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  for n = 1, count do
    local tier_no = lines[n].tier_no
    if not tiers[tier_no] or is_locked(event, tier_no, order.fingerprint) then
      return { 'UNKNOWN_TIER', n }
    end
  end
  for n = 1, count do
    local tier, quantity = tiers[lines[n].tier_no], lines[n].quantity
    local refusal = (tier.has_rules or quantity > tier.order_max)
      and refuse_line(shard, tier, quantity, n)
    if refusal then return refusal end
    if quantity > tier.available and tier.held > 0 and not event.is_reclaimed then
      event.is_reclaimed = true
      reclaim(shard, event, 50)
    end
  end
  local taken = tonumber(event.taken[order.user_id] or 0)
  if taken + order.places > event.person_max then
    return { 'LIMIT_REACHED', 'person', event.person_max, taken }
  end
  for n = 1, count do
    local tier, quantity = tiers[lines[n].tier_no], lines[n].quantity
    local had = tier.person_max > 0 and tier_taken(event, lines[n].tier_no, order.user_id)
    if had and had + quantity > tier.person_max then
      return { 'LIMIT_REACHED', 'tier', tier.person_max, had, n }
    end
  end
  local refusal = order.code and refuse_promo(shard, order)
  if refusal then return refusal end
  for n = 1, count do
    local tier = tiers[lines[n].tier_no]
    if lines[n].quantity > tier.available + tier.held then
      return { 'SOLD_OUT', n, tier.available }
    end
  end
  for n = 1, count do
    local tier = tiers[lines[n].tier_no]
    -- What is free belongs to those who wait: nobody overtakes the list (I9).
    if lines[n].quantity > tier.available or tier.waiting > 0 then
      return { 'ALL_HELD', n, tier.available, retry_after_ms(shard, event) }
    end
  end
end
