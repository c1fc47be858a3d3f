-- Turn a table into the words of HSET (name, value, ...) or, by score, of ZADD (score, name, ...).
local function flat(rows, is_by_score)
  local words = {}
  for name, value in pairs(rows) do
    local w = #words
    if is_by_score then name, value = value, name end
    words[w + 1], words[w + 2] = name, value
  end
  return words
end
