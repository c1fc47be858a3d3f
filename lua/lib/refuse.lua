-- Say why an order cannot be had, or nothing if it can. The first reason that applies, in the
-- order of the header's Returns.
local function refuse(shard, order)
  local event, tiers = order.event, order.event.tiers
  if not event.person_max then return { 'NOT_ON_SALE' } end
  if shard.at_ms < event.opens_at_ms then return { 'SALE_NOT_OPEN', event.opens_at_ms } end
  if shard.at_ms >= event.closes_at_ms then return { 'SALE_CLOSED', event.closes_at_ms } end
  if shard.room < 1 then return { 'BACKPRESSURE' } end
  for n, line in ipairs(order.lines) do
    if not tiers[line.tier_no] then return { 'UNKNOWN_TIER', n } end
  end
  for n, line in ipairs(order.lines) do
    local tier = tiers[line.tier_no]
    local refusal = refuse_line(shard, tier, line.quantity, n)
    if refusal then return refusal end
    if line.quantity > tier.available and tier.held > 0 and not event.is_reclaimed then
      event.is_reclaimed = true
      reclaim(shard, event, 50)
    end
  end
  local taken = tonumber(event.taken[order.user_id] or 0)
  if taken + order.places > event.person_max then
    return { 'LIMIT_REACHED', 'person', event.person_max, taken }
  end
  for n, line in ipairs(order.lines) do
    local had = tier_taken(event, line.tier_no, order.user_id)
    local most = tiers[line.tier_no].person_max
    if had and had + line.quantity > most then return { 'LIMIT_REACHED', 'tier', most, had, n } end
  end
  local refusal = refuse_promo(shard, order)
  if refusal then return refusal end
  for n, line in ipairs(order.lines) do
    local tier = tiers[line.tier_no]
    if line.quantity > tier.available + tier.held then return { 'SOLD_OUT', n, tier.available } end
  end
  for n, line in ipairs(order.lines) do
    local tier = tiers[line.tier_no]
    -- What is free belongs to those who wait: nobody overtakes the list (I9).
    if line.quantity > tier.available or tier.waiting > 0 then
      return { 'ALL_HELD', n, tier.available, retry_after_ms(shard, event) }
    end
  end
end
