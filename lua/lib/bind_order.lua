-- Bind one order: from ARGV `a` on, seven words and two per line. Returns nil if a word is not what
-- it must be, which is a bug in the caller. A tier on two lines would be checked line by line and
-- oversold, so it is refused here. Words that are only written on stay text.
local function bind_order(event, figure, a)
  local argv, count = ARGV, figure[ARGV[a + 6]]
  local ttl_ms = tonumber(argv[a + 4])
  if not (event and ttl_ms and count) or #argv < a + 6 + 2 * count then return nil end
  local fingerprint, lines, places = argv[a + 3], {}, 0
  for line = 1, count do
    local tier_no, word, wish = argv[a + 5 + 2 * line], argv[a + 6 + 2 * line], nil
    if not figure[word] then word, wish = string.match(word, '^(%d+):([a-z0-9,+-]+)$') end
    local quantity = figure[word or '']
    if not quantity then return nil end
    for before = 1, line - 1 do
      if lines[before].tier_no == tier_no then return nil end
    end
    lines[line] = { tier_no = tier_no, quantity = quantity, word = word, wish = wish }
    places = places + quantity
  end
  return { event = event, id = argv[a + 1], user_id = argv[a + 2], ttl_ms = ttl_ms,
    fingerprint = fingerprint, detail = argv[a + 5], lines = lines, places = places,
    code = string.match(fingerprint, '~([A-Z0-9_-]+)$') }
end
