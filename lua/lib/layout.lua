-- Read a booking's items word, `live` or `live/first/cut/cut...`: `first` are the items it was made
-- with and each cut is `epoch-seq-at_ms-items`, both with `x` for `:` so that only live lines are
-- lines. Returns live quantities by tier_no, the first items, and the cuts as text.
local function layout(items)
  local live_text, first, cuts = string.match(items, '^([^/]+)/?([^/]*)/?(.*)$')
  local live = {}
  for tier_no, quantity in string.gmatch(live_text, '(%d+):(%d+):%d+') do
    live[tier_no] = tonumber(quantity)
  end
  if first == '' then first = string.gsub(live_text, ':', 'x') end
  return live, first, cuts
end
