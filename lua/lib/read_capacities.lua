-- Bind the capacities that a command wants, and read those there are; nil if the word is not
-- `tier_no:capacity,...` in bounds.
local function read_capacities(command)
  if string.find(command[1], '[^%d:,]') then return nil end
  local event, seen, chars = command.event, {}, -1
  local tiers, fields, tier_nos = {}, {}, {}
  event.capacity = event.capacity or {}
  for tier_no, text in string.gmatch(command[1], '([1-9]%d*):(%d+)') do
    local capacity = tonumber(text)
    if seen[tier_no] or #tiers >= 100 or capacity > 10000000 then return nil end
    seen[tier_no], tier_nos[tier_no] = true, true
    tiers[#tiers + 1] = { tier_no = tier_no, capacity = capacity }
    fields[#fields + 1] = tier_no .. '.capacity'
    chars = chars + #tier_no + #text + 2
  end
  if #tiers == 0 or chars ~= #command[1] then return nil end
  command.tiers = tiers
  read_stock(event, tier_nos)
  local found = redis.call('HMGET', event.stock, unpack(fields))
  for n, want in ipairs(tiers) do event.capacity[want.tier_no] = tonumber(found[n]) end
  return tiers
end
