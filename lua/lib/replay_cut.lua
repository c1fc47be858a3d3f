-- Reply to a cancellation at a version that is over: the first reply again if the same lines were
-- cancelled then, else what version the booking has now.
local function replay_cut(row, version, cut)
  local status, now, items = string.match(row, '^(%S+) (%S+) %S+ %S+ %S+ %S+ %S+ (%S+)')
  local wanted, count, done, place = {}, 0, 0, nil
  for _, line in ipairs(cut) do wanted[line.tier_no], count = line.quantity, count + 1 end
  local _, _, cuts = layout(items)
  local n, text = 0, nil
  for one in string.gmatch(cuts, '[^/]+') do
    n = n + 1
    if n == version then
      place = { string.match(one, '^(%d+)-(%d+)-(%d+)-') }
      text = string.gsub(string.match(one, '-([%dx,]+)$'), 'x', ':')
    end
  end
  if status == 'cancelled' and version == tonumber(now) - 1 then
    place, text = { string.match(row, '(%d+) (%d+) (%d+)$') }, string.match(items, '^[^/]+')
  end
  for tier_no, quantity in string.gmatch(text or '', '(%d+):(%d+):%d+') do
    if wanted[tier_no] ~= tonumber(quantity) then return { 'VERSION_CHANGED', tonumber(now) } end
    done = done + 1
  end
  if done ~= count then return { 'VERSION_CHANGED', tonumber(now) } end
  return { 'REPLAYED', place[1], place[2], place[3] }
end
