-- Bind the rules of tiers that have any: from ARGV `r` to `last`, six words each, into `tiers`.
-- Returns the hidden tiers as `+tier_no+tier_no+`, or empty; nil if a word is not what it must be,
-- which is a bug in the caller.
local function bind_rules(tiers, r, last)
  local hidden = ''
  while r <= last do
    local tier = tiers[tonumber(ARGV[r])]
    local order_min, person_max = tonumber(ARGV[r + 1]), tonumber(ARGV[r + 2])
    local opens_at_ms, closes_at_ms = tonumber(ARGV[r + 3]), tonumber(ARGV[r + 4])
    if r + 5 > last or not (tier and order_min and person_max and opens_at_ms and closes_at_ms)
      or tier.rules
      or order_min > tonumber(tier.order_max)
      or (closes_at_ms > 0 and closes_at_ms <= opens_at_ms)
      or (ARGV[r + 5] ~= '0' and ARGV[r + 5] ~= '1') then
      return nil
    end
    tier.rules = { order_min = ARGV[r + 1], person_max = ARGV[r + 2],
      opens_at_ms = ARGV[r + 3], closes_at_ms = ARGV[r + 4] }
    tier.rules_text = ',' .. table.concat({ unpack(ARGV, r + 1, r + 5) }, ',')
    if ARGV[r + 5] == '1' then
      hidden = (hidden == '' and '+' or hidden) .. tonumber(ARGV[r]) .. '+'
    end
    r = r + 6
  end
  return hidden
end
