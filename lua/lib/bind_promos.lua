-- Bind promo codes, `CODE:uses_max:percent:amount:tier_no+tier_no`, joined by commas: as words of
-- HSET and as the JSON rows of a record. Returns nil if the word is not that.
local function bind_promos(text, tiers)
  local words, rows, chars = {}, {}, -1
  for code, rule in string.gmatch(text, '([A-Z0-9_-]+):([%d:+]+)') do
    local uses_max, percent, amount, tier_nos =
      string.match(rule, '^([1-9]%d*):(%d+):(%d+):([%d+]*)$')
    if not uses_max or tonumber(percent) > 100 then return nil end
    for tier_no in string.gmatch(tier_nos, '%d+') do
      if not tiers[tonumber(tier_no)] then return nil end
    end
    local w = #words
    words[w + 1], words[w + 2], words[w + 3], words[w + 4] = code, rule, code .. '.used', '0'
    rows[#rows + 1] = '["' .. code .. '",' .. uses_max .. ',' .. percent .. ',' .. amount .. ',['
      .. string.gsub(tier_nos, '%+', ',') .. ']]'
    chars = chars + #code + #rule + 2
  end
  if #rows == 0 or #rows > 100 or chars ~= #text then return nil end
  return words, ',"promos":[' .. table.concat(rows, ',') .. ']'
end
