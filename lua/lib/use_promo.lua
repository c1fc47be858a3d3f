-- Count a use of the promo code that a fingerprint carries behind a `~`, up or down by one. Without
-- a code nothing is read. The fingerprint is kept by holds and bookings, so that a use comes back.
local function use_promo(event, fingerprint, by)
  local code = string.match(fingerprint, '~([A-Z0-9_-]+)$')
  local promo = code and find_promo(event, code)
  if not promo then return end
  event.promo_of[code .. '.used'] = promo.used + by
  event.new_promos = event.new_promos or {}
  event.new_promos[code .. '.used'] = promo.used + by
end
