-- Bind the orders of a batch: from ARGV `a` on, seven words each and two per line. Returns nil if
-- a word is not what it must be, which is a bug in the caller. A tier on two lines would be
-- checked line by line and oversold, so it is refused here. Words that are only written on stay
-- text, since each way between number and text costs as much as a call.
local function bind_orders(events, a)
  local argv, orders, n, numbered = ARGV, {}, 0, {}
  local figure = { ['1'] = 1, ['2'] = 2, ['3'] = 3, ['4'] = 4, ['5'] = 5, ['6'] = 6, ['7'] = 7,
    ['8'] = 8, ['9'] = 9, ['10'] = 10 }
  local last = #argv
  for i = 1, #events do numbered[string.format('%d', i)] = events[i] end
  while a <= last do
    local event, count, ttl_word = numbered[argv[a]], figure[argv[a + 6]], argv[a + 4]
    local ttl_ms = ttl_word == '0' and 0 or tonumber(ttl_word)
    if not (event and ttl_ms and count) or last < a + 6 + 2 * count then return nil end
    local fingerprint, lines, places = argv[a + 3], {}, 0
    for line = 1, count do
      local tier_no, word, wish = argv[a + 5 + 2 * line], argv[a + 6 + 2 * line], nil
      if not figure[word] then
        word, wish = string.match(word, '^(%d+):([a-z0-9,+-]+)$')
      end
      local quantity = figure[word or '']
      if not quantity then return nil end
      for before = 1, line - 1 do
        if lines[before].tier_no == tier_no then return nil end
      end
      lines[line] = { tier_no = tier_no, quantity = quantity, word = word, wish = wish }
      places = places + quantity
    end
    n = n + 1
    orders[n] = { event = event, id = argv[a + 1], user_id = argv[a + 2], ttl_ms = ttl_ms,
      fingerprint = fingerprint, detail = argv[a + 5], lines = lines, places = places,
      code = string.find(fingerprint, '~', 1, true)
        and string.match(fingerprint, '~([A-Z0-9_-]+)$') }
    a = a + 7 + 2 * count
  end
  return orders
end
