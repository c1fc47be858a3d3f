-- Tell whether a promo code is for a tier: it names none, or this one.
local function promo_fits(promo, tier_no)
  return promo.tier_nos == '++' or string.find(promo.tier_nos, '+' .. tier_no .. '+', 1, true)
end
