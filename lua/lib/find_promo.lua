-- Find a promo code of the event and how often it is used; nil if there is none. Read if not yet.
local function find_promo(event, code)
  event.promo_of = event.promo_of or {}
  if event.promo_of[code] == nil then
    read_rows(event.promos, { code, code .. '.used' }, event.promo_of)
  end
  if not event.promo_of[code] then return nil end
  local uses_max, percent, amount, tier_nos =
    string.match(event.promo_of[code], '^(%d+):(%d+):(%d+):([%d+]*)$')
  return { uses_max = tonumber(uses_max), used = tonumber(event.promo_of[code .. '.used']),
    percent = tonumber(percent), amount_minor = tonumber(amount),
    tier_nos = '+' .. tier_nos .. '+' }
end
