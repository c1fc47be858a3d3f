-- Promo codes: what they are for, and how often they are used.

-- Bind promo codes, `CODE:uses_max:percent:amount:tier_no+tier_no`, joined by commas: each with its
-- rule as it is kept, and its row in a record. Returns nil if the word is not that, or a tier
-- is none of the first `tier_count`.
local function bind_promos(text, tier_count)
  local promos, chars = {}, -1
  for code, rule in string.gmatch(text, '([A-Z0-9_-]+):([%d:+]+)') do
    local uses_max, percent, amount, tier_nos =
      string.match(rule, '^(%d+):(%d+):(%d+):([%d+]*)$')
    if not uses_max or string.find(uses_max, '^0%d') or tonumber(percent) > 100 then return nil end
    for tier_no in string.gmatch(tier_nos, '%d+') do
      local number = tonumber(tier_no)
      if number < 1 or number > tier_count then return nil end
    end
    promos[#promos + 1] = { code = code, rule = rule, terms = string.match(rule, ':(.*)$'),
      row = '["' .. code .. '",' .. uses_max .. ',' .. percent .. ',' .. amount .. ',['
        .. string.gsub(tier_nos, '%+', ',') .. ']]' }
    chars = chars + #code + #rule + 2
  end
  if #promos > 100 or (text ~= '' and chars ~= #text) then return nil end
  return promos
end

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

-- Tell whether a promo code is for a tier: it names none, or this one.
local function promo_fits(promo, tier_no)
  return promo.tier_nos == '++' or string.find(promo.tier_nos, '+' .. tier_no .. '+', 1, true)
end

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

-- Tell whether a tier is hidden from whoever sends this fingerprint. A hidden tier is unlocked by a
-- promo code that names it, behind a `~`; without one it is as if the event had no such tier.
local function is_locked(event, tier_no, fingerprint)
  if not event.hidden then return false end
  local name = '+' .. tier_no .. '+'
  if not string.find(event.hidden, name, 1, true) then return false end
  local code = string.match(fingerprint, '~([A-Z0-9_-]+)$')
  local promo = code and find_promo(event, code)
  -- One that was stopped opens nothing.
  return not promo or promo.uses_max == 0 or not string.find(promo.tier_nos, name, 1, true)
end
