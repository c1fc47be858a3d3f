-- Read the lines to be cancelled, `tier_no:quantity,...`; nil if they are not that.
local function parse_cut(text)
  if string.find(text, '[^%d:,]') then return nil end
  local cut, seen, chars = {}, {}, -1
  for tier_no, quantity in string.gmatch(text, '([1-9]%d*):([1-9]%d*)') do
    if seen[tier_no] then return nil end
    seen[tier_no] = true
    cut[#cut + 1] = { tier_no = tier_no, quantity = tonumber(quantity) }
    chars = chars + #tier_no + #quantity + 2
  end
  return #cut > 0 and #cut <= 10 and chars == #text and cut or nil
end
