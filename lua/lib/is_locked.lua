-- Tell whether a tier is hidden from whoever sends this fingerprint. A hidden tier is unlocked by a
-- promo code that names it, behind a `~`; without one it is as if the event had no such tier.
local function is_locked(event, tier_no, fingerprint)
  if not event.hidden then return false end
  local name = '+' .. tier_no .. '+'
  if not string.find(event.hidden, name, 1, true) then return false end
  local code = string.match(fingerprint, '~([A-Z0-9_-]+)$')
  local promo = code and find_promo(event, code)
  return not promo or not string.find(promo.tier_nos, name, 1, true)
end
