-- Bind what an order asks for, one word: event_no, ttl_ms, ~ with a promo code or nothing, lines.
-- Returns nil if it is not what it must be, which is a bug in the caller. A tier on two lines would
-- be checked line by line and oversold, so it is refused here. Words that are only written on stay
-- text.
local function bind_asked(events, figure, word)
  local event_no, ttl_ms, code, all = string.match(word, '^(%d+) (%d+) ~(%S*) (%S+)$')
  local event = events[tonumber(event_no)]
  if not event then return nil end
  local lines, places, seen = {}, 0, {}
  for line in string.gmatch(all, '[^;]+') do
    local tier_no, text, wish = string.match(line, '^([^:]+):(%d+):?([a-z0-9,+-]*)$')
    local quantity = figure[text or '']
    if not quantity or seen[tier_no] or #lines == 10 then return nil end
    seen[tier_no], event.tier_nos[tier_no] = true, true
    lines[#lines + 1] = { tier_no = tier_no, quantity = quantity, word = text,
      wish = wish ~= '' and wish or nil }
    places = places + quantity
  end
  return lines[1] and { event = event, ttl_ms = tonumber(ttl_ms), code = code ~= '' and code or nil,
    lines = lines, places = places, templates = {} }
end
