-- The tier of what is asked for if it can be taken without a look at rules: one line of a tier that
-- has none, no seats and no list, in an open sale, without a promo code. Else false.
local function plain_tier(asked)
  local line, event = asked.lines[1], asked.event
  local tier = event.tiers[line.tier_no]
  return event.is_open and not asked.lines[2] and not line.wish and not asked.code and tier
    and tier.is_plain and line.quantity <= tier.order_max and tier
end
